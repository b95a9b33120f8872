"""AuthService over gRPC, on PostgreSQL, as its clients meet it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Any

import grpc
import jwt
import pytest
from antiphon.auth.v1 import api_key_pb2_grpc, auth_pb2, auth_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from services.auth import wiring as auth_wiring
from services.capabilities.identity import wiring as identity_wiring
from services.capabilities.identity.providers.keys import keys_by_rpc
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.identity.revocation_cache import RevocationCache
from services.infra.postgres.database import Database
from services.kernel.errors import Unauthenticated
from services.kernel.principal import Kind, Principal
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.runtime.logs import Log
from services.runtime.metrics import Metrics
from services.runtime.server import Server
from services.settings import AuthSettings, LimitSettings, ServerSettings, Settings
from tests.fakes.no_auth import NoApiKeys, NothingRevoked

SECRET = DeploymentSecret(b"d" * 32)
UNLIMITED = {field.name: 0 for field in fields(LimitSettings)}


@dataclass
class Replica:
    """A process that serves Auth."""

    auth: auth_wiring.Auth
    stub: auth_pb2_grpc.AuthServiceAsyncStub
    api_keys: api_key_pb2_grpc.ApiKeyServiceAsyncStub
    database: Database


@contextlib.asynccontextmanager
async def replica(
    url: str,
    settings: AuthSettings | None = None,
    secret: DeploymentSecret = SECRET,
    limits: LimitSettings | None = None,
) -> AsyncIterator[Replica]:
    settings = settings or AuthSettings()
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(url, min_size=1, max_size=6))
        whole = Settings(auth=settings, limits=limits or LimitSettings(**UNLIMITED))
        auth = await stack.enter_async_context(auth_wiring.build(whole, database, secret, sole_owner=False))
        known = RevocationCache(auth.revocations, 30.0)
        stack.push_async_callback(known.aclose)
        await known.start()
        authenticator = await stack.enter_async_context(
            identity_wiring.build(
                (),
                issuer=settings.issuer,
                audience=settings.audience,
                keys=auth.keys,
                secret=secret,
                api_keys=auth.api_keys,
                revocations=known,
            )
        )
        server = Server(ServerSettings(port=0, grace=0.1), Metrics(), Log("ERROR", pretty=False))
        await stack.enter_async_context(server.serving([auth.mounted(authenticator)], authenticator))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        stub: Any = auth_pb2_grpc.AuthServiceStub(channel)
        api_keys: Any = api_key_pb2_grpc.ApiKeyServiceStub(channel)
        yield Replica(auth, stub, api_keys, database)


class Nobody:
    """Believes no credential, for an Auth that nobody calls."""

    async def verify(self, credential: str) -> Principal:
        raise AssertionError(credential)


@pytest.fixture
async def served(migrated_url: str) -> AsyncIterator[Replica]:
    async with replica(migrated_url) as made:
        yield made


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def failure(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """The status code, the reason and its metadata."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    status = from_call(failed.value)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    return failed.value.code(), info.reason, dict(info.metadata)


ANA = auth_pb2.RegisterRequest(
    email="Ana@example.com", password="correct horse", username="ana", display_name="Ana"
)


async def log_in(served: Replica, email: str = "ana@example.com") -> auth_pb2.LoginResponse:
    return await served.stub.Login(
        auth_pb2.LoginRequest(email=email, password="correct horse", device_name="laptop")
    )


async def test_from_registering_to_logging_out(served: Replica) -> None:
    registered = (await served.stub.Register(ANA)).user
    assert (registered.email, registered.username, registered.display_name) == (
        "Ana@example.com",
        "ana",
        "Ana",
    )
    assert (registered.role, registered.disabled) == (auth_pb2.ROLE_USER, False)
    login = await log_in(served)
    assert login.user == registered
    lifetime = login.refresh_token_expire_time.seconds - login.access_token_expire_time.seconds
    assert lifetime == pytest.approx(30 * 86400 - 900, abs=5)
    profile = await served.stub.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(login.access_token))
    assert profile.user == registered
    refreshed = await served.stub.RefreshToken(
        auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token)
    )
    assert refreshed.refresh_token != login.refresh_token
    await served.stub.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(refreshed.access_token))
    for _ in range(2):
        await served.stub.Logout(auth_pb2.LogoutRequest(refresh_token=refreshed.refresh_token))
    after = served.stub.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=refreshed.refresh_token))
    assert (await failure(after))[:2] == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")


async def test_what_is_taken_is_refused(served: Replica) -> None:
    await served.stub.Register(ANA)
    email = auth_pb2.RegisterRequest(email="ANA@example.com", password="correct horse")
    username = auth_pb2.RegisterRequest(email="bob@example.com", password="correct horse", username="ANA")
    taken = grpc.StatusCode.ALREADY_EXISTS
    assert (await failure(served.stub.Register(email)))[:2] == (taken, "EMAIL_TAKEN")
    assert (await failure(served.stub.Register(username)))[:2] == (taken, "USERNAME_TAKEN")


async def test_registering_again_with_a_request_id_makes_one_account(served: Replica) -> None:
    request_id = str(uuid.uuid4())
    request = auth_pb2.RegisterRequest(
        request_id=request_id, email="ana@example.com", password="correct horse"
    )
    made = await asyncio.gather(*(served.stub.Register(request) for _ in range(5)))
    assert len({response.user.user_id for response in made}) == 1
    other = auth_pb2.RegisterRequest(request_id=request_id, email="ana@example.com", password="another horse")
    assert await failure(served.stub.Register(other)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_REUSED",
        {"request_id": request_id},
    )


async def test_wrong_credentials_are_refused_alike(served: Replica) -> None:
    await served.stub.Register(ANA)
    wrong = auth_pb2.LoginRequest(email="ana@example.com", password="wrong horse")
    unknown = auth_pb2.LoginRequest(email="bob@example.com", password="wrong horse")
    refused: tuple[Any, ...] = (grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS", {})
    assert await failure(served.stub.Login(wrong)) == refused
    assert await failure(served.stub.Login(unknown)) == refused


@pytest.mark.parametrize(
    "email", ["a\0b@example.com", "\u0661@\u202e", "x" * 255, "'; drop table auth.users; --"]
)
async def test_an_odd_email_is_nobodys(served: Replica, email: str) -> None:
    request = auth_pb2.LoginRequest(email=email, password="p\0\ud7ff")
    assert (await failure(served.stub.Login(request)))[1] == "INVALID_CREDENTIALS"


async def test_a_disabled_person_is_kept_out(served: Replica) -> None:
    await served.stub.Register(ANA)
    login = await log_in(served)
    async with served.database.connection() as connection:
        await connection.execute("update auth.users set disabled = true")
    denied = (grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_DISABLED")
    refresh = auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token)
    profile = served.stub.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(login.access_token))
    assert (await failure(log_in(served)))[:2] == denied
    assert (await failure(served.stub.RefreshToken(refresh)))[:2] == denied
    assert (await failure(profile))[:2] == denied


async def test_the_profile_of_a_deleted_account_is_not_found(served: Replica) -> None:
    await served.stub.Register(ANA)
    login = await log_in(served)
    async with served.database.connection() as connection:
        await connection.execute("delete from auth.users")
    profile = served.stub.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(login.access_token))
    assert (await failure(profile))[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_refresh_token_is_no_credential_and_an_access_token_no_refresh_token(served: Replica) -> None:
    await served.stub.Register(ANA)
    login = await log_in(served)
    profile = served.stub.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(login.refresh_token))
    assert (await failure(profile))[1] == "TOKEN_INVALID"
    refresh = auth_pb2.RefreshTokenRequest(refresh_token=login.access_token[:512])
    assert (await failure(served.stub.RefreshToken(refresh)))[1] == "TOKEN_INVALID"


async def test_fifty_refreshes_at_once_on_two_replicas_leave_one_successor(
    served: Replica, migrated_url: str
) -> None:
    await served.stub.Register(ANA)
    login = await log_in(served)
    request = auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token)
    async with replica(migrated_url) as other:
        stubs = (served.stub, other.stub)
        pairs = await asyncio.gather(*(stubs[n % 2].RefreshToken(request) for n in range(50)))
        assert len({pair.refresh_token for pair in pairs}) == 1
        # What one replica signed, the other believes.
        for stub in stubs:
            for pair in pairs[:2]:
                await stub.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(pair.access_token))
    async with served.database.connection() as connection:
        cursor = await connection.execute(
            "select count(*) from auth.sessions where rotated_at is null and not revoked"
        )
        assert await cursor.fetchone() == (1,)


async def test_a_token_reused_after_the_grace_ends_the_session(migrated_url: str) -> None:
    async with replica(migrated_url, AuthSettings(refresh_grace=0.0)) as served:
        await served.stub.Register(ANA)
        login = await log_in(served)
        request = auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token)
        second = await served.stub.RefreshToken(request)
        assert (await failure(served.stub.RefreshToken(request)))[1] == "REFRESH_TOKEN_REUSED"
        after = auth_pb2.RefreshTokenRequest(refresh_token=second.refresh_token)
        assert (await failure(served.stub.RefreshToken(after)))[1] == "TOKEN_REVOKED"


async def test_anyone_can_check_tokens_with_the_published_keys(served: Replica) -> None:
    await served.stub.Register(ANA)
    login = await log_in(served)
    response = await served.stub.GetJwks(auth_pb2.GetJwksRequest())
    document = json.loads(response.jwks_json)
    assert [key["kid"] for key in document["keys"]] == [key.kid for key in response.keys]
    assert len(response.keys) == 2
    assert not {"d", "p", "q"} & set(document["keys"][0])
    kid = jwt.get_unverified_header(login.access_token)["kid"]
    payload = jwt.decode(
        login.access_token,
        jwt.PyJWKSet.from_dict(document)[kid],
        algorithms=["RS256"],
        audience="antiphon",
        issuer="antiphon",
    )
    assert payload["sub"] == login.user.user_id


async def test_another_process_verifies_by_the_keys_it_fetches(served: Replica) -> None:
    await served.stub.Register(ANA)
    login = await log_in(served)
    keys = keys_by_rpc(served.stub, ServiceTokens(SECRET, "chat"), allowance=30.0)
    built = identity_wiring.build(
        (),
        issuer="antiphon",
        audience="antiphon",
        keys=keys,
        secret=SECRET,
        api_keys=NoApiKeys(),
        revocations=NothingRevoked(),
    )
    async with contextlib.aclosing(keys), built as authenticator:
        principal = await authenticator.authenticate(dict(bearer(login.access_token)))
        assert principal is not None
        assert (principal.kind, principal.user_id) == (Kind.USER, login.user.user_id)
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(dict(bearer(login.access_token + "A")))


async def test_services_get_the_public_keys_and_nobody_else_does_by_this_way(served: Replica) -> None:
    request = auth_pb2.ListSigningKeysRequest()
    listed = await served.stub.ListSigningKeys(request, metadata=ServiceTokens(SECRET, "chat").metadata())
    assert listed.keys == (await served.stub.GetJwks(auth_pb2.GetJwksRequest())).keys
    await served.stub.Register(ANA)
    person = bearer((await log_in(served)).access_token)
    assert (await failure(served.stub.ListSigningKeys(request, metadata=person)))[1] == "ROLE_REQUIRED"
    assert (await failure(served.stub.ListSigningKeys(request)))[1] == "CREDENTIAL_MISSING"


async def test_nobody_can_use_up_what_other_processes_may_ask_for_keys(migrated_url: str) -> None:
    limits = LimitSettings(**{**UNLIMITED, "default": 1})
    async with replica(migrated_url, limits=limits) as served:
        kid = (await served.stub.GetJwks(auth_pb2.GetJwksRequest())).keys[0].kid
        refused = await failure(served.stub.GetJwks(auth_pb2.GetJwksRequest()))
        assert refused[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        for _ in range(5):
            keys = keys_by_rpc(served.stub, ServiceTokens(SECRET, "chat"), allowance=30.0)
            assert await keys.find(kid) is not None


async def test_a_process_with_another_secret_gets_no_keys_and_says_why(
    served: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = ServiceTokens(DeploymentSecret(b"x" * 32), "chat")
    keys = keys_by_rpc(served.stub, tokens, allowance=30.0)
    assert "can't be fetched from Auth" in str(await keys.check())
    assert "deployment secrets differ" in caplog.text


async def test_a_service_asks_for_a_person(served: Replica) -> None:
    user = (await served.stub.Register(ANA)).user
    tokens = ServiceTokens(SECRET, "chat")
    profile = await served.stub.GetProfile(
        auth_pb2.GetProfileRequest(), metadata=tokens.metadata(user.user_id)
    )
    assert profile.user == user
    alone = served.stub.GetProfile(auth_pb2.GetProfileRequest(), metadata=tokens.metadata())
    assert (await failure(alone))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")


async def test_closed_registration_sends_people_to_an_administrator(migrated_url: str) -> None:
    async with replica(migrated_url, AuthSettings(registration=False)) as served:
        assert await failure(served.stub.Register(ANA)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "ROLE_REQUIRED",
            {"role": "admin"},
        )


async def test_two_first_starts_at_once_share_keys_and_one_administrator(migrated_url: str) -> None:
    async def start() -> tuple[str | None, str]:
        async with (
            Database(migrated_url, min_size=1, max_size=4) as database,
            auth_wiring.build(Settings(), database, SECRET, sole_owner=False) as auth,
        ):
            async with auth.first_administrator("admin@example.com") as made:
                password = None if made is None else made.password
            assert [await check.check() for check in auth.mounted(Nobody()).checks] == [None, None]
        async with (
            Database(migrated_url, min_size=1, max_size=4) as database,
            database.connection() as connection,
        ):
            cursor = await connection.execute("select kid from auth.signing_keys where state = 'active'")
            ((kid,),) = await cursor.fetchall()
            return password, kid

    started = await asyncio.gather(*(start() for _ in range(3)))
    assert len({kid for _, kid in started}) == 1
    (password,) = [password for password, _ in started if password is not None]
    async with replica(migrated_url) as served:
        request = auth_pb2.LoginRequest(email="admin@example.com", password=password)
        assert (await served.stub.Login(request)).user.role == auth_pb2.ROLE_ADMIN


async def test_the_keys_of_another_secret_stop_the_start(migrated_url: str) -> None:
    async with replica(migrated_url):
        pass
    with pytest.raises(StartupError, match="secret"):
        async with replica(migrated_url, secret=DeploymentSecret(b"x" * 32)):
            pass


async def test_the_health_check_names_a_database_that_is_away(migrated_url: str) -> None:
    async with (
        Database(migrated_url, min_size=1, max_size=2) as database,
        auth_wiring.build(Settings(), database, SECRET, sole_owner=False) as auth,
    ):
        check = auth.mounted(Nobody()).checks[0]
        assert await check.check() is None
        await database.close()
        assert await check.check()
