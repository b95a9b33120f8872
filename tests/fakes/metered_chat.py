"""Chat alone on a server of its own, with its meter, and a sink that does what a test wants."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from antiphon.usage.v1 import usage_pb2

from services.capabilities.metering.ports import Sink
from services.chat.wiring import Chat, build, warm_connection
from services.infra.postgres.database import Database
from services.kernel.secret import DeploymentSecret
from services.runtime.logs import Log
from services.runtime.metrics import Metrics
from services.runtime.server import Server
from services.settings import Settings
from tests.fakes.chat_stage import CLOSED, MODELS, Stage
from tests.fakes.no_limits import NO_LIMITS
from tests.fakes.revocation_feed import SpokenFeed
from tests.fakes.runtime_services import NamedCallers, bearer

SECRET = DeploymentSecret(b"the secret of a deployment that is only a test")


@dataclass(frozen=True)
class MeteredChat:
    """Chat that serves, and what is behind it; `serving` is to be closed to stop it as SIGTERM would."""

    chat: Chat
    stub: chat_pb2_grpc.ChatServiceAsyncStub
    metrics: Metrics
    database: Database
    serving: contextlib.AsyncExitStack

    async def waiting(self) -> list[usage_pb2.UsageEvent]:
        """What is in the outbox."""
        async with self.database.connection() as connection:
            cursor = await connection.execute(b"select payload from chat.outbox order by event_id")
            return [usage_pb2.UsageEvent.FromString(row[0]) for row in await cursor.fetchall()]

    async def asks(self, model: str = "scripted", caller: str = "user", **request: Any) -> bool:
        """Ask for an answer; whether there was one."""
        message = chat_pb2.ChatRequest(**{"message": "Hola", "model": model, **request})
        try:
            await self.stub.Chat(message, metadata=bearer(caller) if caller else ())
        except grpc.aio.AioRpcError:
            return False
        return True

    def figure(self, name: str, **labels: str) -> float:
        """A metric of the meter."""
        found = self.metrics.registry.get_sample_value(
            f"antiphon_usage_{name}", {"service": "chat", **labels}
        )
        return found or 0.0


@contextlib.asynccontextmanager
async def metered_chat(
    url: str, folder: Path, model: Stage, sink: Sink | None, **environ: str
) -> AsyncIterator[MeteredChat]:
    """Chat on a migrated database, while the block runs; its callers are those of runtime_services."""
    models = folder / "models.toml"
    models.write_text(MODELS.format(stage=model.upstream.base_url, closed=CLOSED))
    settings = Settings.load(
        {
            "DATABASE_URL": url,
            "ANTIPHON_SERVER__PORT": "0",
            "ANTIPHON_SERVER__GRACE": "2",
            "ANTIPHON_CHAT__MODELS_FILE": str(models),
            **NO_LIMITS,
            **environ,
        },
        cwd=folder,
    )
    metrics = Metrics()
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(url, max_size=4, warm=[warm_connection]))
        serving = await stack.enter_async_context(contextlib.AsyncExitStack())
        server = Server(settings.server, metrics, Log("CRITICAL", pretty=False))
        serving.push_async_callback(server.close)
        chat = await serving.enter_async_context(
            build(
                settings,
                database,
                SECRET,
                sole_owner=False,
                environ={},
                revocations=SpokenFeed(),
                sink=sink,
                metrics=metrics,
            )
        )
        await serving.enter_async_context(server.serving([chat.mounted], NamedCallers()))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        yield MeteredChat(chat, chat_pb2_grpc.ChatServiceStub(channel), metrics, database, serving)
