"""Who may call what: every RPC of the contract × every kind of caller, the expected outcome derived from the RPC's policy alone."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any, cast

import grpc
import pytest
import pytest_asyncio
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.options.v1 import policy_pb2
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from jwt import encode, get_unverified_header

from services.auth.model.accounts import Role
from services.auth.providers.access_tokens import SignedAccessTokens
from services.auth.providers.key_rings import StoredKeyRing
from services.auth.stores.signing_keys import SqlSigningKeys
from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.ids import new_id
from services.kernel.secret import DeploymentSecret
from tests.fakes.identity_tokens import claims
from tests.fakes.served_suite import (
    ADMIN_EMAIL,
    SECRET,
    Failed,
    Metadata,
    Served,
    bearer,
    failed,
    finished,
    foreign_token,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC, OPTIONAL, USER, ADMIN, SERVICE = (
    policy_pb2.ACCESS_PUBLIC,
    policy_pb2.ACCESS_OPTIONAL,
    policy_pb2.ACCESS_USER,
    policy_pb2.ACCESS_ADMIN,
    policy_pb2.ACCESS_SERVICE,
)
PASSWORD = "correct horse battery staple"
ANA = "ana@example.com"


def methods_of_the_contract() -> list[MethodDescriptor]:
    """Every RPC that the contract has, whether it is built or not."""
    described = FileDescriptorSet.FromString(files("antiphon").joinpath("descriptors.binpb").read_bytes())
    found: list[MethodDescriptor] = []
    for file in described.file:
        if file.package.startswith("antiphon.") and file.service:
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            for service in file.service:
                name = f"{file.package}.{service.name}"
                found += descriptor_pool.Default().FindServiceByName(name).methods
    return found


METHODS = methods_of_the_contract()


def policy_of(method: MethodDescriptor) -> policy_pb2.Policy:
    """What the contract says of the RPC."""
    extension = cast("Any", policy_pb2.policy)
    policy: policy_pb2.Policy = method.GetOptions().Extensions[extension]
    return policy


@dataclass(frozen=True)
class Caller:
    """`may` is what the credential lets in; `refused` the reason why it is no credential, and the policy is never reached then.
    `scopes` are those of an API key, None for credentials that have all."""

    metadata: Metadata
    may: frozenset[int] = frozenset()
    refused: str = ""
    scopes: frozenset[str] | None = None


def expected(caller: Caller, policy: policy_pb2.Policy) -> tuple[str, str, dict[str, str]] | None:
    """The refusal, None for being let in."""
    access = policy.access
    if access == PUBLIC:
        return None
    if caller.refused and not (caller.refused == "CREDENTIAL_MISSING" and access == OPTIONAL):
        return "UNAUTHENTICATED", caller.refused, {}
    if access == OPTIONAL or access in caller.may:
        if policy.scope and caller.scopes is not None and policy.scope not in caller.scopes:
            return "PERMISSION_DENIED", "SCOPE_REQUIRED", {"scope": policy.scope}
        return None
    role = {USER: "user", ADMIN: "admin", SERVICE: "service"}[cast("Any", access)]
    return "PERMISSION_DENIED", "ROLE_REQUIRED", {"role": role}


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return ("auth", "chat", "image", "speech", "analytics")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(suite: Served) -> Mapping[str, Caller]:
    """Every kind of caller, people with the tokens that they got by logging in."""
    await suite.auth.Register(auth_pb2.RegisterRequest(email=ANA, password=PASSWORD))
    ana, admin = await asyncio.gather(
        suite.auth.Login(auth_pb2.LoginRequest(email=ANA, password=PASSWORD)),
        suite.auth.Login(auth_pb2.LoginRequest(email=ADMIN_EMAIL, password=suite.admin_password)),
    )
    ring = StoredKeyRing(SqlSigningKeys(suite.suite.database), SECRET.derive("auth.signing-keys"))
    minter = SignedAccessTokens(
        ring,
        issuer="antiphon",
        audience="antiphon",
        lifetime=timedelta(seconds=60),
        clock=lambda: 1_700_000_000,
    )
    expired = (await minter.sign(ana.user.user_id, new_id(), Role.USER, 0)).text
    header = get_unverified_header(ana.access_token)
    # Whoever has no part in the deployment signs what only Auth may sign, under the name of Auth's key.
    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = encode(claims(role="admin"), forger, algorithm="RS256", headers=header)
    keys = await api_keys(suite, ana.access_token, admin.access_token)
    gone = await revoked(suite, admin.access_token)
    stranger = ServiceTokens(DeploymentSecret(b"another deployment's secret, long enough"), "chat")
    service = ServiceTokens(SECRET, "analytics")
    return {
        "nobody": Caller((), refused="CREDENTIAL_MISSING"),
        "garbage": Caller(bearer("garbage"), refused="TOKEN_INVALID"),
        "another scheme": Caller((("authorization", "Basic YW5hOmFuYQ=="),), refused="TOKEN_INVALID"),
        "an empty header": Caller((("authorization", ""),), refused="TOKEN_INVALID"),
        "expired": Caller(bearer(expired), refused="TOKEN_EXPIRED"),
        "foreign signature": Caller(bearer(forged), refused="TOKEN_INVALID"),
        "cut short": Caller(bearer(ana.access_token[:-9]), refused="TOKEN_INVALID"),
        "a refresh token": Caller(bearer(ana.refresh_token), refused="TOKEN_INVALID"),
        "user": Caller(bearer(ana.access_token), may=frozenset((USER,))),
        "user for another": Caller(
            (*bearer(ana.access_token), ("x-on-behalf-of", admin.user.user_id)), refused="TOKEN_INVALID"
        ),
        "administrator": Caller(bearer(admin.access_token), may=frozenset((USER, ADMIN))),
        "administrator for another": Caller(
            (*bearer(admin.access_token), ("x-on-behalf-of", ana.user.user_id)), refused="TOKEN_INVALID"
        ),
        "nobody for another": Caller((("x-on-behalf-of", ana.user.user_id),), refused="TOKEN_INVALID"),
        "service": Caller(service.metadata(), may=frozenset((SERVICE,))),
        "service for a user": Caller(service.metadata(ana.user.user_id), may=frozenset((USER, SERVICE))),
        "service for garbage": Caller(service.metadata("garbage"), refused="TOKEN_INVALID"),
        "service of another deployment": Caller(stranger.metadata(), refused="TOKEN_INVALID"),
        **keys,
        **gone,
        "no API key": Caller(bearer("ak_0123456789_secret"), refused="API_KEY_INVALID"),
        "no API key in its own header": Caller(
            (("x-api-key", "ak_0123456789_secret"),), refused="API_KEY_INVALID"
        ),
        "two credentials": Caller(
            (*bearer(ana.access_token), ("x-api-key", "ak_0123456789_secret")), refused="TOKEN_INVALID"
        ),
        "user of a trusted issuer": Caller(bearer(foreign_token("42")), may=frozenset((USER,))),
        "expired user of a trusted issuer": Caller(
            bearer(foreign_token("42", exp=1_700_000_000)), refused="TOKEN_EXPIRED"
        ),
        "user of an unknown issuer": Caller(
            bearer(foreign_token("42", key="a key that this deployment has never heard of")),
            refused="TOKEN_INVALID",
        ),
    }


async def api_keys(suite: Served, ana: str, admin: str) -> dict[str, Caller]:
    """Callers with API keys, good ones and ended ones."""

    async def made(token: str, *scopes: str) -> tuple[str, str]:
        response = await suite.api_keys.CreateApiKey(
            api_key_pb2.CreateApiKeyRequest(display_name="a key", scopes=scopes), metadata=bearer(token)
        )
        return response.api_key.api_key_id, response.secret

    user, administrator = frozenset((USER,)), frozenset((USER, ADMIN))
    some = frozenset(("chat.read", "profile.write"))
    (_, narrow), (_, of_admin), (_, without_admin) = (
        await made(ana, *some),
        await made(admin, "admin", "keys.read"),
        await made(admin, "chat.write"),
    )
    ended, of_ended = await made(ana, "chat.read")
    await suite.api_keys.RevokeApiKey(api_key_pb2.RevokeApiKeyRequest(api_key_id=ended), metadata=bearer(ana))
    late, of_late = await made(ana, "chat.read")
    await suite.rows("update auth.api_keys set expires_at = now() where id = %s returning id", late)
    return {
        "API key": Caller(bearer(narrow), may=user, scopes=some),
        "API key in its own header": Caller((("x-api-key", narrow),), may=user, scopes=some),
        "administrator's API key": Caller(
            bearer(of_admin), may=administrator, scopes=frozenset(("admin", "keys.read"))
        ),
        "administrator's API key without that scope": Caller(
            bearer(without_admin), may=administrator, scopes=frozenset(("chat.write",))
        ),
        "API key for another": Caller(
            (*bearer(narrow), ("x-on-behalf-of", new_id())), refused="TOKEN_INVALID"
        ),
        "revoked API key": Caller(bearer(of_ended), refused="API_KEY_INVALID"),
        "expired API key": Caller(bearer(of_late), refused="API_KEY_INVALID"),
        "API key with another secret": Caller(
            bearer(narrow[:-1] + ("a" if narrow[-1] != "a" else "b")), refused="API_KEY_INVALID"
        ),
    }


async def revoked(suite: Served, admin: str) -> dict[str, Caller]:
    """Callers whose tokens were good until a moment ago."""

    async def login(name: str) -> auth_pb2.LoginResponse:
        email = f"{name}@example.com"
        await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
        return await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))

    out, disabled, demoted, deleted = [
        await login(name) for name in ("out", "disabled", "demoted", "deleted")
    ]
    await suite.auth.Logout(auth_pb2.LogoutRequest(refresh_token=out.refresh_token))
    for person, user, path in (
        (disabled, auth_pb2.User(disabled=True), "disabled"),
        (demoted, auth_pb2.User(role=auth_pb2.ROLE_SERVICE), "role"),
    ):
        user.user_id = person.user.user_id
        await suite.auth.UpdateUser(
            auth_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=[path])),
            metadata=bearer(admin),
        )
    await suite.auth.DeleteUser(
        auth_pb2.DeleteUserRequest(user_id=deleted.user.user_id), metadata=bearer(admin)
    )

    async def refused(token: str) -> bool:
        try:
            await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(token))
        except grpc.aio.AioRpcError as error:
            return failed(error).reason == "TOKEN_REVOKED"
        return False

    people = {"logged out": out, "disabled": disabled, "of another role": demoted, "deleted": deleted}
    for person in people.values():
        token = person.access_token
        await until(lambda token=token: refused(token), 2.0)  # type: ignore[misc]
    return {
        name: Caller(bearer(person.access_token), refused="TOKEN_REVOKED") for name, person in people.items()
    }


async def outcome(suite: Served, method: MethodDescriptor, metadata: Metadata) -> Failed | None:
    """How the RPC answers to an empty request; None for success."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    callable_: Any = getattr(suite.channel, kind)(
        path, lambda _: b"", message_factory.GetMessageClass(method.output_type).FromString
    )
    call = callable_([b""] if method.client_streaming else b"", metadata=metadata, timeout=10)
    try:
        if method.name.startswith("Watch"):
            # Whoever is let in is told something at once, and then for ever.
            await call.read()
            call.cancel()
        else:
            await finished(call)
    except grpc.aio.AioRpcError as error:
        return failed(error)
    return None


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
async def test_the_policy_decides(
    suite: Served, callers: Mapping[str, Caller], method: MethodDescriptor
) -> None:
    policy = policy_of(method)
    outcomes = await asyncio.gather(*(outcome(suite, method, caller.metadata) for caller in callers.values()))
    wrong = []
    for (name, caller), found in zip(callers.items(), outcomes, strict=True):
        refusal = expected(caller, policy)
        if refusal is None:
            ok = found is None or found.code.name not in ("UNAUTHENTICATED", "PERMISSION_DENIED", "INTERNAL")
        else:
            ok = found is not None and (*found.what, dict(found.metadata)) == refusal
        if not ok:
            wrong.append((name, refusal or "let in", found))
    assert not wrong


async def test_the_matrix_has_everything_that_is_served(suite: Served) -> None:
    stub = cast("Any", reflection_pb2_grpc.ServerReflectionStub)(suite.channel)
    call = stub.ServerReflectionInfo([reflection_pb2.ServerReflectionRequest(list_services="*")])
    (answer,) = await finished(call)
    served = {service.name for service in answer.list_services_response.service}
    assert {name for name in served if name.startswith("antiphon.")} == {
        method.containing_service.full_name for method in METHODS
    }


async def test_the_contract_knows_all_kinds_of_access() -> None:
    assert {policy_of(method).access for method in METHODS} == {PUBLIC, OPTIONAL, USER, ADMIN, SERVICE}
