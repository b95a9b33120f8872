"""Everything that somebody without a right might present, over the real server: refused, for the right reason, and told nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import jwt
import pytest
import pytest_asyncio
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.chat.v1 import chat_pb2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.auth.providers.key_rings import StoredKeyRing
from services.auth.providers.keys import SEALING_PURPOSE, describe
from services.auth.stores.signing_keys import SqlSigningKeys
from services.capabilities.identity.providers.service import ServiceTokens
from tests.fakes.forgeries import ATTACKS, CURVE, DIRECTORY, DIRECTORY_KID, PARTNER, Forger
from tests.fakes.served_suite import DJANGO_KEY, SECRET, Metadata, Served, bearer, failed

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL, PASSWORD = "mallory@example.com", "correct horse battery staple"
TOLD = {"x-request-id", "grpc-status-details-bin"}
INTERNAL = (
    "Traceback",
    "File ",
    ".py",
    "services.",
    "sqlalchemy",
    "jwt",
    "kid",
    "signature",
    "audience",
    "issuer",
)


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """One key per name."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass
class Directory:
    """An issuer that publishes its keys under an address, and counts who asks."""

    url: str = ""
    asked: int = 0


@pytest.fixture(scope="module")
def directory() -> Iterator[Directory]:
    made = Directory()
    jwk = {**describe(rsa_key("directory").public_key()).as_jwk(), "kid": DIRECTORY_KID}
    body = json.dumps({"keys": [jwk]}).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    made.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def suite_environ(directory: Directory) -> dict[str, str]:
    usual = {"audience": "us", "algorithms": ["RS256"]}
    issuers = [
        {**usual, "issuer": PARTNER, "pem": pem(rsa_key("partner"))},
        {**usual, "issuer": CURVE, "pem": pem(curve_key()), "algorithms": ["ES256"]},
        {**usual, "issuer": DIRECTORY, "jwks": directory.url},
    ]
    return {"ANTIPHON_IDENTITY__ISSUERS": json.dumps(issuers), "ANTIPHON_LIMITS__DEFAULT": "0"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forger(suite: Served) -> Forger:
    """Somebody who has an account, and knows far too much."""
    await suite.auth.Register(auth_pb2.RegisterRequest(email=EMAIL, password=PASSWORD))
    token = (await suite.auth.Login(auth_pb2.LoginRequest(email=EMAIL, password=PASSWORD))).access_token
    ring = StoredKeyRing(SqlSigningKeys(suite.suite.database), SECRET.derive(SEALING_PURPOSE))
    kid, private = await ring.signing_key()
    assert isinstance(private, rsa.RSAPrivateKey)
    return Forger(
        private=private,
        kid=kid,
        genuine=token,
        claims=jwt.decode(token, options={"verify_signature": False}),
        stranger=rsa_key("stranger"),
        partner=rsa_key("partner"),
        curve=curve_key(),
        directory=rsa_key("directory"),
        shared=DJANGO_KEY,
    )


def calls(suite: Served, metadata: Metadata) -> list[Any]:
    """An RPC that needs somebody, and one that anybody may call: a bad credential is never taken for none."""
    return [
        suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata),
        suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="echo"), metadata=metadata),
    ]


async def refused(suite: Served, metadata: Metadata) -> tuple[str, str]:
    """Reason and message, the same at every RPC, and nothing else that a forger could learn from."""
    found = set()
    for call in calls(suite, metadata):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        told = failed(raised.value)
        assert told.code is grpc.StatusCode.UNAUTHENTICATED, told
        assert told.metadata == {}
        assert (told.fields, told.retry, told.resource) == ((), None, None)
        assert {key for key, _ in raised.value.trailing_metadata() or ()} <= TOLD
        assert not any(word in told.text for word in INTERNAL), told.text
        found.add((told.reason, told.text))
    (both,) = found
    return both


CONTROLS: dict[str, Callable[[Forger], str]] = {
    "own": lambda f: f.own(),
    "partner": lambda f: f.foreign(f.partner, PARTNER),
    "curve": lambda f: f.foreign(f.curve, CURVE, "ES256"),
    "directory": lambda f: f.directory_token(DIRECTORY_KID),
    "site": lambda f: f.django(),
    "genuine": lambda f: f.genuine,
}


@pytest.mark.parametrize("control", CONTROLS)
async def test_what_is_forged_here_would_be_good_but_for_one_thing(
    suite: Served, forger: Forger, control: str
) -> None:
    metadata = bearer(CONTROLS[control](forger))
    await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=metadata)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_or_misused_token_is_refused(suite: Served, forger: Forger, attack: str) -> None:
    usual = await refused(suite, bearer("garbage"))
    assert usual[0] == "TOKEN_INVALID"
    assert await refused(suite, bearer(ATTACKS[attack](forger))) == usual


async def test_an_expired_token_says_so_and_only_when_it_was_good(suite: Served, forger: Forger) -> None:
    expired = [forger.own(exp=1_700_000_000), forger.own(exp=0), forger.django(exp=1_700_000_000)]
    answers = {await refused(suite, bearer(token)) for token in expired}
    ((reason, _),) = answers
    assert reason == "TOKEN_EXPIRED"


def presented(forger: Forger) -> dict[str, Metadata]:
    good = forger.genuine
    return {
        "no scheme": (("authorization", good),),
        "an empty value": (("authorization", ""),),
        "a scheme alone": (("authorization", "Bearer"),),
        "a scheme and a space": (("authorization", "Bearer "),),
        "basic": (("authorization", "Basic bWFsbG9yeTpwYXNzd29yZA=="),),
        "another scheme": (("authorization", f"Token {good}"),),
        "a comma": (("authorization", f"Bearer {good},"),),
        "two in one": (("authorization", f"Bearer {good}, Bearer {good}"),),
        "a word after it": (("authorization", f"Bearer {good} {good}"),),
        "quotes": (("authorization", f'Bearer "{good}"'),),
        "the same twice": (("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")),
        "a bad one behind a good one": (("authorization", f"Bearer {good}"), ("authorization", "Bearer x")),
        "a token and a key": (("authorization", f"Bearer {good}"), ("x-api-key", "ak_1_2")),
        "two keys": (("x-api-key", "ak_1_2"), ("x-api-key", "ak_1_2"), ("authorization", "Bearer x")),
        "for another, as a person": (
            ("authorization", f"Bearer {good}"),
            ("x-on-behalf-of", forger.claims["sub"]),
        ),
        "for another, as nobody": (("x-on-behalf-of", forger.claims["sub"]),),
        "for nobody, as a service": (
            ("authorization", f"Bearer {ServiceTokens(SECRET, 'chat').token()}"),
            ("x-on-behalf-of", "root"),
        ),
        "for two, as a service": (
            ("authorization", f"Bearer {ServiceTokens(SECRET, 'chat').token()}"),
            ("x-on-behalf-of", forger.claims["sub"]),
            ("x-on-behalf-of", forger.claims["sub"]),
        ),
    }


async def test_a_good_token_in_a_bad_place_is_refused(suite: Served, forger: Forger) -> None:
    usual = await refused(suite, bearer("garbage"))
    for name, metadata in presented(forger).items():
        assert await refused(suite, metadata) == usual, name


async def test_the_scheme_may_be_written_in_any_case(suite: Served, forger: Forger) -> None:
    for scheme in ("bearer", "BEARER", "bEaReR"):
        metadata = (("authorization", f"{scheme} {forger.genuine}"),)
        profile = await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
        assert profile.user.user_id == forger.claims["sub"]


async def test_a_role_that_auth_signed_makes_nobody_a_service(suite: Served, forger: Forger) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await suite.auth.VerifyToken(
            auth_pb2.VerifyTokenRequest(token=forger.genuine), metadata=bearer(forger.own(role="service"))
        )
    assert failed(raised.value).what == ("PERMISSION_DENIED", "ROLE_REQUIRED")


async def test_what_is_too_large_for_any_token_does_not_arrive_at_all(suite: Served, forger: Forger) -> None:
    for call in calls(suite, bearer(forger.own(padding="x" * 40_000))):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is not grpc.StatusCode.OK
        assert not any(word in (raised.value.details() or "") for word in INTERNAL[:5])


async def test_forgers_do_not_make_the_suite_ask_other_systems(
    suite: Served, forger: Forger, directory: Directory
) -> None:
    await suite.chat.ListSessions(
        chat_pb2.ListSessionsRequest(), metadata=bearer(forger.directory_token(DIRECTORY_KID))
    )
    before = directory.asked
    tokens = [
        forger.directory_token("k" * 300),
        forger.directory_token("unknown", padding="x" * 8000),
        forger.directory_token(["unknown"]),
        jwt.encode({"iss": DIRECTORY, "sub": "p"}, "s" * 32, algorithm="HS256", headers={"kid": "unknown"}),
    ]
    for token in tokens:
        await refused(suite, bearer(token))
    assert directory.asked == before
    # An unknown id may be a new key, so it is asked for; and then not again for a while, whatever is made up.
    for number in range(20):
        await refused(suite, bearer(forger.directory_token(f"unknown-{number}")))
    assert directory.asked <= before + 1


def bad_keys(good: str) -> Sequence[str]:
    """API keys that are none, made from one that is."""
    public_id, secret = good.removeprefix("ak_").split("_", 1)
    return (
        "ak_",
        "ak__",
        "ak_1_2",
        f"ak_{public_id}",
        f"ak_{public_id}_",
        f"ak__{secret}",
        f"ak_{public_id}_{secret[:-1]}",
        f"ak_{public_id}_{secret}A",
        f"ak_{public_id}_{secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}",
        f"ak_{public_id}_{'A' * len(secret)}",
        f"ak_{'A' * len(public_id)}_{secret}",
        f"ak_{public_id.swapcase()}_{secret}",
        f"ak_{secret}_{public_id}",
        f"ak_{public_id}_{secret}_{secret}",
        f"ak_{public_id}_{secret.upper()}",
        f"ak_{public_id}_{secret} ".replace(" ", "%20"),
        f"ak_' or 1=1 --_{secret}",
        "ak_" + "A" * 7000,
        f"ak_{public_id}_" + "A" * 7000,
    )


async def test_an_api_key_that_is_not_exactly_right_is_refused(suite: Served, forger: Forger) -> None:
    made = await suite.api_keys.CreateApiKey(
        api_key_pb2.CreateApiKeyRequest(
            display_name="program", scopes=["profile.read", "chat.read", "chat.write"]
        ),
        metadata=bearer(forger.genuine),
    )
    good = made.secret
    for metadata in (bearer(good), (("x-api-key", good),)):
        await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
    answers = set()
    for key in bad_keys(good):
        for metadata in (bearer(key), (("x-api-key", key),)):
            answers.add((key, *await refused(suite, metadata)))
    assert {reason for _, reason, _ in answers} == {"API_KEY_INVALID"}
    assert len({message for _, _, message in answers}) == 1
    # Of another form altogether: no API key, and no token either.
    for metadata in (bearer(good.upper()), bearer(good.removeprefix("ak_"))):
        assert (await refused(suite, metadata))[0] == "TOKEN_INVALID"
