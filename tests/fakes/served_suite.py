"""The whole suite in this process, on a real socket and a real database, with a scripted model behind it, and the people who call it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import jwt
import psycopg
import pytest
from antiphon.analytics.v1 import analytics_pb2_grpc
from antiphon.auth.v1 import api_key_pb2_grpc, auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from antiphon.errors.v1 import error_reason_pb2
from antiphon.image.v1 import image_pb2_grpc
from antiphon.speech.v1 import speech_pb2_grpc
from antiphon.usage.v1 import usage_pb2
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from services.bootstrap.suite import Suite, serving
from services.capabilities.identity.model import foreign_user_id
from services.kernel.secret import DeploymentSecret
from services.runtime.logs import Log
from services.settings import Settings
from tests.fakes.chat_stage import CLOSED, MODELS, Stage
from tests.fakes.no_limits import NO_LIMITS

SECRET_KEY = "the secret of a deployment that is only a test"
SECRET = DeploymentSecret(SECRET_KEY.encode())
DJANGO_KEY = "a key that a Django site shares with this deployment"
ADMIN_EMAIL = "admin@example.com"

Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Person:
    """Somebody with a credential; `metadata` presents it."""

    user_id: str
    metadata: Metadata


def bearer(token: str) -> Metadata:
    """The metadata that presents a token."""
    return (("authorization", f"Bearer {token}"),)


def foreign_token(subject: str, key: str = DJANGO_KEY, **changes: Any) -> str:
    """A token as a Django site makes it."""
    now = int(time.time())
    return jwt.encode(
        {"user_id": subject, "token_type": "access", "iat": now, "exp": now + 300, **changes},
        key,
        algorithm="HS256",
    )


def somebody() -> Person:
    """A person whom nobody has met before: the deployment believes the tokens of a site that shares its key."""
    subject = uuid.uuid4().hex
    return Person(foreign_user_id("", subject), bearer(foreign_token(subject)))


@dataclass(frozen=True)
class Served:
    """A suite that serves, and a client's way to it."""

    suite: Suite
    channel: grpc.aio.Channel
    auth: auth_pb2_grpc.AuthServiceAsyncStub
    api_keys: api_key_pb2_grpc.ApiKeyServiceAsyncStub
    chat: chat_pb2_grpc.ChatServiceAsyncStub
    analytics: analytics_pb2_grpc.AnalyticsServiceAsyncStub
    images: image_pb2_grpc.ImageServiceAsyncStub
    speech: speech_pb2_grpc.SpeechServiceAsyncStub
    url: str
    admin_password: str

    async def administrator(self) -> Metadata:
        """The credential of the administrator whom the first start made."""
        request = auth_pb2.LoginRequest(email=ADMIN_EMAIL, password=self.admin_password)
        return bearer((await self.auth.Login(request)).access_token)

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database answers, past the suite."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall()

    async def metered(self, person: Person) -> list[usage_pb2.UsageEvent]:
        """What the meter was told of somebody's generations, oldest first."""
        found = await self.rows("select payload from chat.outbox order by event_id")
        events = [usage_pb2.UsageEvent.FromString(payload) for (payload,) in found]
        return [event for event in events if event.user_id == person.user_id and not event.refused]

    async def stored(self) -> tuple[int, ...]:
        """How many sessions, messages, generations, claims and generations' usage events Chat has, and accounts and logins Auth."""
        found = await self.rows(
            "select (select count(*) from chat.sessions), (select count(*) from chat.messages),"
            " (select count(*) from chat.generations), (select count(*) from chat.claims),"
            " (select count(*) from chat.outbox join chat.generations using (event_id)), (select count(*) from auth.users), (select count(*) from auth.sessions)"
        )
        return found[0]


def _settings(url: str, folder: Path, model: Stage, environ: Mapping[str, str]) -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    models = folder / "models.toml"
    models.write_text(MODELS.format(stage=model.upstream.base_url, closed=CLOSED))
    return Settings.load(
        {
            "DATABASE_URL": url,
            "JWT_SECRET_KEY": DJANGO_KEY,
            "ANTIPHON_SECRET_KEY": SECRET_KEY,
            "ANTIPHON_DATA_DIR": str(folder / "data"),
            "ANTIPHON_ADMIN_EMAIL": ADMIN_EMAIL,
            "ANTIPHON_SERVER__PORT": "0",
            "ANTIPHON_SERVER__GRACE": "0.5",
            "ANTIPHON_METRICS__ADDRESS": "off",
            "ANTIPHON_CHAT__MODELS_FILE": str(models),
            "ANTIPHON_CHAT__ECHO_INTERVAL_MS": "1",
            **NO_LIMITS,
            **environ,
        },
        cwd=folder,
    )


@contextlib.asynccontextmanager
async def served(
    url: str,
    folder: Path,
    model: Stage,
    log: Log | None = None,
    services: Sequence[str] = ("auth", "chat"),
    /,
    **environ: str,
) -> AsyncIterator[Served]:
    """The suite on a migrated database, while the block runs; the end of the block stops it as SIGTERM would.

    `environ` is what an operator would set beside the necessary. `folder` is for its files. Without a `log` it keeps quiet. Without Analytics among
    the `services`, usage events stay in the outbox.
    """
    settings = _settings(url, folder, model, environ)
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
    ]
    async with contextlib.AsyncExitStack() as stack:
        # The channel outlives the suite: what a client is told while the suite stops has to arrive.
        suite_stack = contextlib.AsyncExitStack()
        log = log or Log("CRITICAL", pretty=False)
        suite = await suite_stack.enter_async_context(serving(settings, services, log, {}))
        async with suite.first_administrator() as made:
            password = "" if made is None else made.password
        channel = grpc.aio.insecure_channel(suite.server.address, options=options)
        stack.push_async_callback(channel.close)
        await stack.enter_async_context(suite_stack)
        yield Served(
            suite,
            channel,
            auth_pb2_grpc.AuthServiceStub(channel),
            api_key_pb2_grpc.ApiKeyServiceStub(channel),
            chat_pb2_grpc.ChatServiceStub(channel),
            analytics_pb2_grpc.AnalyticsServiceStub(channel),
            image_pb2_grpc.ImageServiceStub(channel),
            speech_pb2_grpc.SpeechServiceStub(channel),
            url,
            password,
        )


@dataclass(frozen=True)
class Failed:
    """How a call failed, with its google.rpc details taken apart. `retry` is in seconds."""

    code: grpc.StatusCode
    text: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    fields: Sequence[str] = ()
    retry: float | None = None
    resource: tuple[str, str] | None = None
    request_id: str = ""

    @property
    def what(self) -> tuple[str, str]:
        """Code and reason."""
        return self.code.name, self.reason


def failed(error: grpc.aio.AioRpcError) -> Failed:
    """The error as its caller can read it."""
    found: dict[str, Any] = {}
    status = from_call(error)  # type: ignore[arg-type]
    for detail in status.details if status is not None else ():
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry, resource = error_details_pb2.RetryInfo(), error_details_pb2.ResourceInfo()
        if detail.Unpack(info):
            assert info.domain == "antiphon"
            assert f"ERROR_REASON_{info.reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - it is no dictionary.
            found |= {"reason": info.reason, "metadata": dict(info.metadata)}
        elif detail.Unpack(bad_request):
            found["fields"] = tuple(violation.field for violation in bad_request.field_violations)
        elif detail.Unpack(retry):
            found["retry"] = retry.retry_delay.ToNanoseconds() / 1e9
        elif detail.Unpack(resource):
            found["resource"] = (resource.resource_type, resource.resource_name)
    for key, value in error.trailing_metadata() or ():
        if key == "x-request-id":
            found["request_id"] = value
    return Failed(error.code(), error.details() or "", **found)


async def failure(call: Any) -> Failed:
    """The failure of a call of any shape; that it does not fail is one of the test."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await finished(call)
    return failed(raised.value)


async def finished(call: Any) -> list[Any]:
    """All responses of a call of any shape."""
    if isinstance(call, AsyncIterable):
        return [response async for response in call]
    return [await call]


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 5.0) -> Any:
    """Wait until the condition holds, and return what it found."""
    end = time.monotonic() + seconds
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


def words(events: Sequence[chat_pb2.ChatEvent]) -> str:
    """The answer that the events add up to."""
    return "".join(event.text_delta.text for event in events if event.HasField("text_delta"))


def kinds(events: Sequence[chat_pb2.ChatEvent]) -> list[str | None]:
    """What happened, in order."""
    return [event.WhichOneof("event") for event in events]


def assert_dense(events: Sequence[chat_pb2.ChatEvent], after: int = 0) -> None:
    """Every position once, in order, from the one after `after` on."""
    for one in events:
        assert one.first_seq == after + 1
        assert one.seq >= one.first_seq
        after = one.seq


async def events_of(call: Any) -> list[chat_pb2.ChatEvent]:
    """The events of a stream to its end; of one that some have been read of, the rest."""
    return [response.event async for response in call]


async def next_event(call: Any) -> chat_pb2.ChatEvent:
    """The next event of a stream."""
    async with asyncio.timeout(20):
        async for response in call:
            found: chat_pb2.ChatEvent = response.event
            return found
    raise AssertionError("the stream has ended")


async def told(call: Any) -> tuple[list[chat_pb2.ChatEvent], Failed | None]:
    """The events of a stream to its end, and how it failed if it did."""
    events: list[chat_pb2.ChatEvent] = []
    try:
        async for response in call:
            events += (response.event,)
    except grpc.aio.AioRpcError as error:
        return events, failed(error)
    return events, None


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Served]]
"""Starts a suite; arguments are services, keyword arguments settings."""
