"""Where public keys come from, and what happens when they can't be had."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import math
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.auth.providers.key_rings import StoredKeyRing
from services.auth.providers.keys import describe
from services.capabilities.identity.errors import KeysUnavailable
from services.capabilities.identity.propagation import (
    FETCH_SECONDS,
    LEARNT_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    RING_SECONDS,
    STALE_SECONDS,
)
from services.capabilities.identity.providers.key_metrics import KeyMetrics
from services.capabilities.identity.providers.keys import CachedKeys, Jwk, keys_by_address, parse_keys
from services.capabilities.identity.wiring import build
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.settings import ForeignIssuer, SecretStr
from tests.fakes.auth_memory_signing_keys import KeyTable, MemorySigningKeys
from tests.fakes.no_auth import NoApiKeys, NothingRevoked

SECRET = DeploymentSecret(b"d" * 32)
NO_AUTH: dict[str, Any] = {"api_keys": NoApiKeys(), "revocations": NothingRevoked()}


@functools.cache
def pair() -> tuple[dict[str, str], dict[str, str]]:
    old, new = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    return describe(old.public_key()).as_jwk(), describe(new.public_key()).as_jwk()


@pytest.fixture(scope="module")
def jwk() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return describe(key.public_key()).as_jwk()


class Issuer:
    """Publishes keys, when it can be reached."""

    def __init__(self, *keys: dict[str, str]) -> None:
        self.keys: Sequence[dict[str, str]] = keys
        self.calls = 0
        self.reachable = True
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self) -> Sequence[dict[str, str]]:
        self.calls += 1
        await self.answers.wait()
        if not self.reachable:
            raise OSError("no route")
        return self.keys


async def settled(keys: CachedKeys) -> None:
    """Until the fetch that was begun beside a call is over."""
    if keys._fetching is not None:
        await keys._fetching


async def test_an_unknown_key_is_fetched_at_most_once_in_a_while(jwk: dict[str, str]) -> None:
    now, issuer = 0.0, Issuer()
    keys = CachedKeys(issuer, source="test", allowance=30.0, clock=lambda: now)
    for _ in range(100):
        assert await keys.find(jwk["kid"]) is None
    assert issuer.calls == 1
    issuer.keys = [jwk]
    assert await keys.find(jwk["kid"]) is None
    now = RETRY_SECONDS
    assert await keys.find(jwk["kid"]) is not None
    assert issuer.calls == 2


async def test_many_who_ask_at_once_share_one_fetch_even_if_the_first_goes_away(jwk: dict[str, str]) -> None:
    issuer = Issuer(jwk)
    issuer.answers.clear()
    keys = CachedKeys(issuer, source="test", allowance=30.0)
    first = asyncio.create_task(keys.find(jwk["kid"]))
    others = [asyncio.create_task(keys.find(jwk["kid"])) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    issuer.answers.set()
    assert all(found is not None for found in await asyncio.gather(*others))
    assert issuer.calls == 1


async def test_old_keys_of_a_foreign_issuer_serve_while_it_is_away(jwk: dict[str, str]) -> None:
    now, issuer = 0.0, Issuer(jwk)
    keys = CachedKeys(issuer, source="test", allowance=math.inf, clock=lambda: now)
    known = await keys.find(jwk["kid"])
    issuer.reachable = False
    now = 100_000.0
    assert await keys.find(jwk["kid"]) is known
    await settled(keys)
    assert await keys.find(jwk["kid"]) is known
    with pytest.raises(KeysUnavailable):
        await keys.find("another")
    issuer.reachable = True
    now += 1.0
    assert await keys.find("another") is None


@pytest.mark.parametrize(("allowance", "bound"), [(30.0, 30.0), (0.0, max(STALE_SECONDS, FETCH_SECONDS))])
async def test_own_keys_are_believed_without_auth_for_as_long_as_the_operator_allows(
    jwk: dict[str, str], allowance: float, bound: float
) -> None:
    now, issuer = 0.0, Issuer(jwk)
    keys = CachedKeys(issuer, source="Auth", allowance=allowance, clock=lambda: now)
    known = await keys.find(jwk["kid"])
    issuer.reachable = False
    while now < bound - 0.5:
        now += 0.5
        assert await keys.find(jwk["kid"]) is known
        await settled(keys)
    while now < bound + 60:
        now += 0.5
        assert keys.known(jwk["kid"]) is None
        with pytest.raises(KeysUnavailable):
            await keys.find(jwk["kid"])
    issuer.reachable = True
    now += 1.0
    assert await keys.find(jwk["kid"]) == known
    assert keys.known(jwk["kid"]) == known


async def test_health_and_metrics_tell_when_the_keys_can_not_be_fetched(jwk: dict[str, str]) -> None:
    now, issuer = 0.0, Issuer(jwk)
    registry = CollectorRegistry()
    issuer.reachable = False
    keys = CachedKeys(issuer, source="Auth", allowance=30.0, clock=lambda: now)
    registry.register(KeyMetrics(keys))
    assert registry.get_sample_value("antiphon_signing_keys_age_seconds") == math.inf
    assert "yet" in str(await keys.check())
    issuer.reachable = True
    now = 1.0
    assert await keys.check() is None
    # A fetch that failed once is not yet a fault; one that goes on failing is, before tokens are refused for it, and after.
    issuer.reachable = False
    now += REFRESH_SECONDS
    assert await keys.check() is None
    now += STALE_SECONDS
    assert "refused after 30 s" in str(await keys.check())
    assert keys.known(jwk["kid"]) is not None
    now += 30.0
    assert "for more than 30 s" in str(await keys.check())
    assert keys.known(jwk["kid"]) is None
    assert registry.get_sample_value("antiphon_signing_keys_age_seconds") == now - 1.0
    assert registry.get_sample_value("antiphon_signing_keys_failures_total") == issuer.calls - 1
    issuer.reachable = True
    now += 1.0
    assert await keys.check() is None


async def test_auths_own_process_believes_no_key_while_its_table_can_not_be_read_for_too_long() -> None:
    now, table = 0.0, KeyTable()
    ring = StoredKeyRing(MemorySigningKeys(table), b"s" * 32, clock=lambda: now)
    await ring.start()

    async def fetch() -> Sequence[Jwk]:
        return [key.as_jwk() for key in await ring.published()]

    keys = CachedKeys(fetch, source="the database", allowance=30.0, clock=lambda: now)
    kid, _ = await ring.signing_key()
    assert await keys.find(kid) is not None
    table.away = True
    while now < 29.0:
        now += 1.0
        await settled(keys)
        assert await keys.find(kid) is not None
    now = 31.0
    with pytest.raises(KeysUnavailable):
        await keys.find(kid)
    assert await keys.check() is not None
    table.away = False
    now += 1.0
    assert await keys.check() is None
    assert await keys.find(kid) is not None


async def test_a_process_that_nobody_calls_keeps_its_keys_fresh(jwk: dict[str, str]) -> None:
    now, issuer = 0.0, Issuer(jwk)
    keys = CachedKeys(issuer, source="Auth", allowance=30.0, clock=lambda: now)
    while now < 600.0:
        assert await keys.check() is None
        now += REFRESH_SECONDS
    # Auth goes away, and only then somebody calls.
    issuer.reachable = False
    now += 20.0
    await keys.check()
    assert await keys.find(jwk["kid"]) is not None


async def test_a_withdrawn_key_is_refused_within_the_bound_whether_or_not_it_is_in_use(
    jwk: dict[str, str],
) -> None:
    now, issuer = 0.0, Issuer(jwk)
    keys = CachedKeys(issuer, source="test", allowance=30.0, clock=lambda: now)
    assert await keys.find(jwk["kid"]) is not None
    issuer.keys = []
    # In use: calls go on, and the fetch is beside them.
    now = REFRESH_SECONDS
    assert await keys.find(jwk["kid"]) is not None
    await settled(keys)
    assert await keys.find(jwk["kid"]) is None
    # Idle: the first call after long waits for the fetch.
    issuer.keys = [jwk]
    now += RETRY_SECONDS
    assert await keys.find(jwk["kid"]) is not None
    issuer.keys = []
    now += STALE_SECONDS
    assert await keys.find(jwk["kid"]) is None


async def test_the_keys_of_others_are_not_asked_for_at_the_pace_of_our_own(jwk: dict[str, str]) -> None:
    assert keys_by_address("https://example.com/keys")._refresh_seconds == 300.0


def test_the_bound_covers_every_way_to_learn_a_key_and_to_lose_one() -> None:
    margin = LEARNT_SECONDS - RING_SECONDS - max(FETCH_SECONDS, RETRY_SECONDS)
    assert margin >= 1.0
    assert RING_SECONDS + max(STALE_SECONDS, FETCH_SECONDS) <= LEARNT_SECONDS
    assert REFRESH_SECONDS < STALE_SECONDS


@given(
    published=st.floats(0.0, 20.0),
    asked=st.lists(st.tuples(st.floats(0.0, 40.0), st.booleans()), max_size=40),
    away=st.lists(st.floats(0.0, 40.0), max_size=10),
)
async def test_a_key_that_was_published_long_enough_is_never_called_unknown(
    published: float, asked: list[tuple[float, bool]], away: list[float]
) -> None:
    """Whenever unknown ids and old ones were asked for before, and whenever the issuer was away: the bound holds."""
    now = 0.0
    old, new = pair()

    async def fetch() -> Sequence[dict[str, str]]:
        if any(start <= now < start + 3 for start in away):
            raise OSError("no route")
        # Auth's own view may be as old as it is allowed to be.
        return [old, new] if now - RING_SECONDS >= published else [old]

    keys = CachedKeys(fetch, source="test", allowance=30.0, clock=lambda: now)
    for moment, unknown in sorted(asked):
        now = moment
        with contextlib.suppress(KeysUnavailable):
            await keys.find("unknown" if unknown else old["kid"])
        if moment >= published + LEARNT_SECONDS - FETCH_SECONDS:
            try:
                assert await keys.find(new["kid"]) is not None
            except KeysUnavailable:
                assert any(start <= now < start + 3 + 1.0 for start in away)


async def test_closing_ends_a_fetch(jwk: dict[str, str]) -> None:
    issuer = Issuer(jwk)
    issuer.answers.clear()
    keys = CachedKeys(issuer, source="test", allowance=30.0)
    asking = asyncio.create_task(keys.find("k"))
    await asyncio.sleep(0)
    await keys.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_only_public_signature_keys_are_read(jwk: dict[str, str]) -> None:
    weak = describe(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()).as_jwk()
    shared = {"kty": "oct", "kid": "s", "k": base64.urlsafe_b64encode(b"k" * 32).decode()}
    broken = {"kty": "RSA", "kid": "b", "n": "AQAB"}
    nameless = {name: value for name, value in jwk.items() if name != "kid"}
    for_encryption = {**jwk, "kid": "e", "use": "enc"}
    assert list(parse_keys([weak, shared, broken, nameless, for_encryption, {}, jwk])) == [jwk["kid"]]


async def test_a_key_set_is_fetched_from_an_address(jwk: dict[str, str]) -> None:
    documents: list[Any] = [{"keys": [jwk, "nonsense"]}]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(documents[0])

    app = web.Application()
    app.router.add_get("/keys", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        assert await keys_by_address(f"http://127.0.0.1:{port}/keys").find(jwk["kid"]) is not None
        documents[0] = ["no key set"]
        with pytest.raises(KeysUnavailable):
            await keys_by_address(f"http://127.0.0.1:{port}/keys").find(jwk["kid"])
        with pytest.raises(KeysUnavailable):
            await keys_by_address(f"http://127.0.0.1:{port}/elsewhere").find(jwk["kid"])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "address", ["http://example.com/keys", "ftp://example.com", "keys", "file:///etc/passwd"]
)
def test_a_key_set_is_not_fetched_over_an_open_line(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        keys_by_address(address)


ELLIPTIC = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize(
    ("foreign", "advice"),
    [
        (ForeignIssuer(("HS256",), secret=SecretStr("short")), "LEGACY"),
        (ForeignIssuer(("RS256",), issuer="x", pem="nonsense"), "Correct"),
        (ForeignIssuer(("RS256",), issuer="x", pem=ELLIPTIC), "Correct"),
        (ForeignIssuer(("RS256",), issuer="x", jwks="http://example.com/keys"), "Correct"),
        (ForeignIssuer(("HS256",), issuer="antiphon", secret=SecretStr("s" * 32)), "Rename"),
        (ForeignIssuer(("HS256",), issuer="antiphon-service", secret=SecretStr("s" * 32)), "Rename"),
    ],
)
async def test_an_issuer_that_is_not_safe_to_trust_stops_the_start(
    foreign: ForeignIssuer, advice: str
) -> None:
    keys = CachedKeys(Issuer(), source="test", allowance=30.0)
    with pytest.raises(StartupError) as stopped:
        async with build(
            [foreign], issuer="antiphon", audience="antiphon", keys=keys, secret=SECRET, **NO_AUTH
        ):
            pass
    assert advice in stopped.value.advice
    assert "short" not in stopped.value.message.split()


async def test_issuers_that_are_safe_are_accepted() -> None:
    foreign = [
        ForeignIssuer(("HS256",), secret=SecretStr("short"), legacy=True),
        ForeignIssuer(("ES256",), issuer="x", pem=ELLIPTIC),
        ForeignIssuer(("RS256", "ES256"), issuer="y", jwks="https://example.com/keys"),
    ]
    keys = CachedKeys(Issuer(), source="test", allowance=30.0)
    async with build(
        foreign, issuer="antiphon", audience="antiphon", keys=keys, secret=SECRET, **NO_AUTH
    ) as made:
        assert await made.authenticate({}) is None
