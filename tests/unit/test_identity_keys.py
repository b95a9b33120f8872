"""Where public keys come from, and what happens when they can't be had."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from services.auth.providers.keys import describe
from services.capabilities.identity.errors import KeysUnavailable
from services.capabilities.identity.propagation import (
    FETCH_SECONDS,
    LEARNT_SECONDS,
    PROOF_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    RING_SECONDS,
    STALE_SECONDS,
)
from services.capabilities.identity.providers.keys import CachedKeys, keys_by_address, parse_keys
from services.capabilities.identity.wiring import build
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.settings import ForeignIssuer, SecretStr

SECRET = DeploymentSecret(b"d" * 32)


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
    keys = CachedKeys(issuer, name="test", clock=lambda: now)
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
    keys = CachedKeys(issuer, name="test")
    first = asyncio.create_task(keys.find(jwk["kid"]))
    others = [asyncio.create_task(keys.find(jwk["kid"])) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    issuer.answers.set()
    assert all(found is not None for found in await asyncio.gather(*others))
    assert issuer.calls == 1


async def test_old_keys_serve_while_their_issuer_is_away(jwk: dict[str, str]) -> None:
    now, issuer = 0.0, Issuer(jwk)
    keys = CachedKeys(issuer, name="test", clock=lambda: now)
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


async def test_a_withdrawn_key_is_refused_within_the_bound_whether_or_not_it_is_in_use(
    jwk: dict[str, str],
) -> None:
    now, issuer = 0.0, Issuer(jwk)
    keys = CachedKeys(issuer, name="test", clock=lambda: now)
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
    assert RING_SECONDS + max(STALE_SECONDS, FETCH_SECONDS) + PROOF_SECONDS <= LEARNT_SECONDS
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

    keys = CachedKeys(fetch, name="test", clock=lambda: now)
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
    keys = CachedKeys(issuer, name="test")
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
    keys = CachedKeys(Issuer(), name="test")
    with pytest.raises(StartupError) as stopped:
        async with build([foreign], issuer="antiphon", audience="antiphon", keys=keys, secret=SECRET):
            pass
    assert advice in stopped.value.advice
    assert "short" not in stopped.value.message.split()


async def test_issuers_that_are_safe_are_accepted() -> None:
    foreign = [
        ForeignIssuer(("HS256",), secret=SecretStr("short"), legacy=True),
        ForeignIssuer(("ES256",), issuer="x", pem=ELLIPTIC),
        ForeignIssuer(("RS256", "ES256"), issuer="y", jwks="https://example.com/keys"),
    ]
    keys = CachedKeys(Issuer(), name="test")
    async with build(foreign, issuer="antiphon", audience="antiphon", keys=keys, secret=SECRET) as made:
        assert await made.authenticate({}) is None
