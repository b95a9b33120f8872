"""The two gRPC servers of P1, each with one RPC that needs no store, on the same event loop: `python -m bench.unary_servers bare|runtime PEM`.

CountTokens is the call: it takes a conversation, may be called with a credential, and has rules for its fields. `runtime` serves it through
everything that a call of the suite goes through; `bare` is what grpc.aio itself does with the same messages.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import grpc
import uvloop
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from antiphon.usage.v1 import usage_pb2

from services.capabilities.identity.authenticator import TokenAuthenticator
from services.capabilities.identity.providers.foreign import ForeignRules, ForeignTokens, public_pem
from services.kernel.request import current
from services.runtime.logs import set_up
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.server import Server, options
from services.settings.sections import ServerSettings

SERVICE = "antiphon.chat.v1.ChatService"
ALGORITHM = "RS256"
ISSUER = "bench"


class Estimates(chat_pb2_grpc.ChatServiceServicer):
    """Counts bytes."""

    async def CountTokens(
        self, request: chat_pb2.CountTokensRequest, context: Any
    ) -> chat_pb2.CountTokensResponse:
        """About how many tokens the conversation has."""
        size = sum(len(part.text) for message in request.conversation.messages for part in message.parts)
        return chat_pb2.CountTokensResponse(
            input_tokens=size // 4, provenance=usage_pb2.PROVENANCE_ESTIMATED, model=request.model
        )


class Owned(Estimates):
    """The same for people alone, so that a token that was not verified would be noticed."""

    async def CountTokens(
        self, request: chat_pb2.CountTokensRequest, context: Any
    ) -> chat_pb2.CountTokensResponse:
        """About how many tokens the conversation has."""
        if not current().principal.user_id:
            raise AssertionError("the caller is known")
        return await super().CountTokens(request, context)


async def bare() -> None:
    """grpc.aio alone."""
    server = grpc.aio.server(options=options(ServerSettings()))
    port = server.add_insecure_port("127.0.0.1:0")
    chat_pb2_grpc.add_ChatServiceServicer_to_server(Estimates(), server)
    await server.start()
    await _tell(port)


async def runtime(pem: Path) -> None:
    """The runtime, its log and metrics on, with the verifier that the suite has."""
    log = set_up("INFO", "json")
    server = Server(ServerSettings(port=0), Metrics(), log)
    rules = ForeignRules(algorithms=frozenset([ALGORITHM]), issuer=ISSUER)
    tokens = ForeignTokens(rules, public_pem(pem.read_text(encoding="ascii"), rules.algorithms))
    mounted = [Mounted("chat", {SERVICE: Owned()})]
    async with server.serving(mounted, TokenAuthenticator([tokens])):
        await _tell(server.port)


async def _tell(port: int) -> None:
    print(f"ready {port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(bare() if sys.argv[1] == "bare" else runtime(Path(sys.argv[2])))
