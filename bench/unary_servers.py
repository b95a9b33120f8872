"""The two gRPC servers of P1, each with one RPC that needs no store, on the same event loop: `python -m bench.unary_servers bare|runtime PEM`.

GetSession is the call: it needs a person's credential, and has a rule for its field. `runtime` serves it through everything that a call
of the suite goes through; `bare` is what grpc.aio itself does with the same messages.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from services.capabilities.identity.authenticator import TokenAuthenticator
from services.capabilities.identity.errors import ApiKeyInvalid
from services.capabilities.identity.providers.foreign import ForeignRules, ForeignTokens, public_pem
from services.capabilities.identity.revocation_cache import RevocationCache
from services.capabilities.identity.revocations import FeedItem
from services.capabilities.limits.stores.memory import MemoryCounters
from services.capabilities.limits.usecases import ClassLimits
from services.capabilities.limits.wiring import MetricsTally, numbers_of
from services.kernel.errors import Unavailable
from services.kernel.principal import Principal
from services.kernel.request import current
from services.runtime.logs import set_up
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.server import Server, options
from services.settings import LimitSettings, ServerSettings

SERVICE = "antiphon.chat.v1.ChatService"
ALGORITHM = "RS256"
ISSUER = "bench"
TITLE = "What is an antiphon?"
# A limit that is counted and never reached.
_NEVER = 1_000_000_000


class Echo(chat_pb2_grpc.ChatServiceServicer):
    """Knows every session."""

    async def GetSession(  # noqa: N802 - the contract's name.
        self, request: chat_pb2.GetSessionRequest, context: Any
    ) -> chat_pb2.GetSessionResponse:
        """The session, from memory."""
        return chat_pb2.GetSessionResponse(
            session=chat_pb2.Session(session_id=request.session_id, title=TITLE)
        )


class Owned(Echo):
    """The same for people alone: a token that was not verified would be noticed."""

    async def GetSession(  # noqa: N802 - the contract's name.
        self, request: chat_pb2.GetSessionRequest, context: Any
    ) -> chat_pb2.GetSessionResponse:
        """The caller's session."""
        session = chat_pb2.Session(
            session_id=request.session_id, user_id=current().principal.user_id, title=TITLE
        )
        return chat_pb2.GetSessionResponse(session=session)


class NoAuth:
    """Is asked for nothing: the callers have tokens of another issuer, which can't be revoked."""

    async def verify(self, key: str) -> Principal:
        raise ApiKeyInvalid

    def watch(self, after: int | None) -> AsyncIterator[FeedItem]:
        raise Unavailable("There is no Auth here.")


async def bare() -> None:
    """grpc.aio alone."""
    server = grpc.aio.server(options=options(ServerSettings()))
    port = server.add_insecure_port("127.0.0.1:0")
    chat_pb2_grpc.add_ChatServiceServicer_to_server(Echo(), server)
    await server.start()
    await _tell(port)


async def runtime(pem: str) -> None:
    """The runtime, its log and metrics on, with the verifier and the limits that the suite has."""
    log = set_up("INFO", "json")
    metrics = Metrics()
    server = Server(ServerSettings(port=0), metrics, log)
    rules = ForeignRules(algorithms=frozenset([ALGORITHM]), issuer=ISSUER)
    tokens = ForeignTokens(rules, public_pem(pem, rules.algorithms))
    numbers = numbers_of(LimitSettings(default=_NEVER))
    limits = ClassLimits(MemoryCounters(), numbers, b"", MetricsTally("chat", metrics))
    mounted = [Mounted("chat", {SERVICE: Owned()}, limits=limits)]
    revocations = RevocationCache(NoAuth(), 30.0)
    authenticator = TokenAuthenticator([tokens], api_keys=NoAuth(), revocations=revocations)
    async with server.serving(mounted, authenticator):
        await _tell(server.port)


async def _tell(port: int) -> None:
    # As the suite does once it serves.
    gc.collect()
    gc.freeze()
    print(f"ready {port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(bare() if sys.argv[1] == "bare" else runtime(Path(sys.argv[2]).read_text(encoding="ascii")))
