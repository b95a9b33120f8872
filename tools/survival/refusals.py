"""Callers whose calls are refused: nothing begins in them, so they are on the meter at most once each, and in nobody's books."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
_CODES = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}
_SECONDS = 20.0


@dataclass
class Refusals:
    """The calls, each known by the project that it names."""

    sent: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    async def call(
        self, addresses: Sequence[str], token: str, chance: random.Random, calls: int, pause: float
    ) -> None:
        """So many calls at any of the addresses, with pauses of about so many seconds; one that its server does not live to answer is left at
        that."""
        metadata = (("authorization", f"Bearer {token}"),)
        for _ in range(calls):
            await asyncio.sleep(chance.uniform(0, 2 * pause))
            async with grpc.aio.insecure_channel(chance.choice(addresses), _OPTIONS) as channel:
                request = self._request(chance)
                try:
                    call = chat_pb2_grpc.ChatServiceStub(channel).StreamChat(
                        request, metadata=metadata, timeout=_SECONDS
                    )
                    async for _ in call:
                        pass
                    self.faults.append("a call that had to be refused was answered")
                except grpc.aio.AioRpcError as error:
                    self._failed(request.project, error)

    def _request(self, chance: random.Random) -> chat_pb2.StreamChatRequest:
        request = chat_pb2.StreamChatRequest(
            message="Count", model="counting", project=f"refused {uuid.uuid4()}"
        )
        match chance.randrange(3):
            case 0:
                request.model = "unheard-of"
            case 1:
                request.session_id = str(uuid.uuid4())
            case _:
                request.parameters.temperature = 1000
        self.sent.add(request.project)
        return request

    def _failed(self, project: str, error: grpc.aio.AioRpcError) -> None:
        if error.code() in _CODES:
            self.told.add(project)
        elif error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            self.faults.append(f"a refused call was told {error.code().name}: {error.details()}")
