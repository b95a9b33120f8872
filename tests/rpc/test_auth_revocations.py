"""What other services ask of Auth: the feed of revocations and whose a credential is, by RPC."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from services.auth.mapping.trust import verification_response
from services.auth.providers.revocation_log import RevocationLog
from services.auth.usecases.verify_token import Verification
from services.capabilities.identity.errors import ApiKeyInvalid
from services.capabilities.identity.mapping import key_owner
from services.capabilities.identity.ports import CredentialVerifier
from services.capabilities.identity.providers.api_keys import ApiKeysByRpc
from services.capabilities.identity.providers.revocations import RevocationsByRpc
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.identity.revocations import FeedItem, Synced
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.principal import Kind, Principal
from services.kernel.secret import DeploymentSecret
from tests.fakes.revocation_tables import SECRET, Table, serving_feed

OURS, STRANGER = ServiceTokens(SECRET, "chat"), ServiceTokens(DeploymentSecret(b"x" * 32), "chat")
KEY = "ak_abcdefghijklmnop_" + "s" * 43


class Answering:
    """A CredentialVerifier with one answer."""

    def __init__(self, answer: Principal | Exception) -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def verify(self, credential: str) -> Principal:
        self.asked.append(credential)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class NoTable:
    """A table that nothing was ever added to."""

    async def current(self, after: int, limit: int) -> list[Any]:
        return []

    async def after(self, position: int, limit: int) -> list[Any]:
        return []

    async def last(self) -> int:
        return 0


@contextlib.asynccontextmanager
async def asking(verifier: CredentialVerifier, tokens: ServiceTokens = OURS) -> AsyncIterator[ApiKeysByRpc]:
    async with serving_feed(RevocationLog(NoTable()), verifier) as peer:
        yield ApiKeysByRpc(peer.stub, tokens)


def owner(
    kind: Kind = Kind.USER, expire_time: float = 0.0, scopes: tuple[str, ...] = ("chat.read",)
) -> Principal:
    return Principal(kind, user_id="u", api_key_id="k", scopes=frozenset(scopes), expire_time=expire_time)


@pytest.mark.parametrize(
    "principal",
    [owner(), owner(Kind.ADMIN, time.time() + 60), owner(scopes=())],
    ids=["user", "admin", "no scopes"],
)
async def test_the_owner_of_a_key_is_the_same_everywhere(principal: Principal) -> None:
    verifier = Answering(principal)
    async with asking(verifier) as keys:
        found = await keys.verify(KEY)
    assert found.expire_time == pytest.approx(principal.expire_time, abs=1e-6)
    assert (found.kind, found.user_id, found.api_key_id) == (principal.kind, "u", "k")
    assert found.scopes == principal.scopes
    assert found.session_id == ""
    assert verifier.asked == [KEY]


async def test_a_key_that_auth_refuses_is_refused() -> None:
    async with asking(Answering(ApiKeyInvalid())) as keys:
        with pytest.raises(ApiKeyInvalid):
            await keys.verify(KEY)
        with pytest.raises(ApiKeyInvalid):
            await keys.verify("ak_" + "a" * 9000)


async def test_a_key_can_not_be_told_while_auth_can_not() -> None:
    async with asking(Answering(Unavailable("the database is away"))) as keys:
        with pytest.raises(Unavailable) as told:
            await keys.verify(KEY)
    assert told.value.retry_after
    async with grpc.aio.insecure_channel("127.0.0.1:1", [("grpc.enable_http_proxy", 0)]) as nowhere:
        with pytest.raises(Unavailable):
            await ApiKeysByRpc(auth_pb2_grpc.AuthServiceStub(nowhere), OURS).verify(KEY)


async def test_an_auth_that_does_not_answer_is_not_waited_for() -> None:
    class Silent:
        async def verify(self, credential: str) -> Principal:
            await asyncio.sleep(60)
            raise AssertionError

    async with serving_feed(RevocationLog(NoTable()), Silent()) as peer:
        with pytest.raises(Unavailable):
            await ApiKeysByRpc(peer.stub, OURS, lookup_seconds=0.2).verify(KEY)


async def test_an_answer_about_no_key_is_none() -> None:
    for strange in (
        Principal(Kind.SERVICE, service="chat"),
        Principal(Kind.USER, user_id="u", session_id="s"),
    ):
        with pytest.raises(ValueError, match="no key"):
            key_owner(verification_response(Verification(strange)))


async def test_a_secret_that_differs_is_an_error_for_the_operator_and_no_refusal_of_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with asking(Answering(owner()), STRANGER) as keys:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await keys.verify(KEY)
    assert len([one for one in caplog.records if "ANTIPHON_SECRET_KEY" in one.message]) == 1


@pytest.mark.parametrize("rpc", ["VerifyToken", "WatchRevocations"])
async def test_nobody_but_a_service_may_ask(rpc: str) -> None:
    requests = {
        "VerifyToken": auth_pb2.VerifyTokenRequest(token=KEY),
        "WatchRevocations": auth_pb2.WatchRevocationsRequest(),
    }
    async with serving_feed(RevocationLog(NoTable()), Answering(owner())) as peer:
        for metadata in ((), STRANGER.metadata(), (("x-api-key", KEY),)):
            call = getattr(peer.stub, rpc)(requests[rpc], metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await (call if rpc == "VerifyToken" else call.read())
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stop_is_not_held_up_by_those_who_watch(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=4) as database:
        log = RevocationLog(Table(database))
        await log.start()
        async with serving_feed(log) as peer:
            source = RevocationsByRpc(peer.stub, OURS)
            items: Any = source.watch(None)
            assert await following(items) == Synced(0)
            began = time.monotonic()
        # The grace period is 10 s.
        assert time.monotonic() - began < 3
        with pytest.raises(Unavailable):
            await following(items)
        await log.aclose()


def watching(source: RevocationsByRpc, after: int | None) -> Any:
    items: Any = source.watch(after)
    return aclosing(items)


async def following(items: Any) -> FeedItem:
    async with asyncio.timeout(5):
        found: FeedItem = await anext(items)
        return found


async def test_a_secret_that_differs_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = RevocationLog(NoTable())
    async with serving_feed(log) as peer:
        source = RevocationsByRpc(peer.stub, STRANGER)
        for _ in range(2):
            async with watching(source, None) as items:
                with pytest.raises(Unavailable):
                    await following(items)
    said = [record.message for record in caplog.records if "ANTIPHON_SECRET_KEY" in record.message]
    assert len(said) == 1


@contextlib.asynccontextmanager
async def scripted(answer: Callable[[Any, Any], Any]) -> AsyncIterator[RevocationsByRpc]:
    class Servicer(auth_pb2_grpc.AuthServiceServicer):
        WatchRevocations = staticmethod(answer)  # type: ignore[assignment]

    server = grpc.aio.server()
    auth_pb2_grpc.add_AuthServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        yield RevocationsByRpc(stub, ServiceTokens(SECRET, "chat"), silent_seconds=0.3)
    await server.stop(None)


async def test_a_stream_that_falls_silent_is_broken_off() -> None:
    ended = asyncio.Event()

    async def silent(request: Any, context: Any) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        yield auth_pb2.WatchRevocationsResponse(synced=auth_pb2.Synced(revocation_id="3"))
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with scripted(silent) as source, watching(source, None) as items:
        assert await following(items) == Synced(3)
        with pytest.raises(Unavailable, match="nothing for"):
            await following(items)
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_kind_of_a_later_version_is_passed_over_and_said(caplog: pytest.LogCaptureFixture) -> None:
    async def newer(request: Any, context: Any) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        strange = auth_pb2.Revocation(revocation_id="1", kind=99)  # type: ignore[arg-type]
        yield auth_pb2.WatchRevocationsResponse(revocation=strange)
        yield auth_pb2.WatchRevocationsResponse(synced=auth_pb2.Synced(revocation_id="1"))

    async with scripted(newer) as source, watching(source, None) as items:
        assert await following(items) == Synced(1)
        with pytest.raises(Unavailable):
            await following(items)
    assert any("does not know" in record.message for record in caplog.records)
