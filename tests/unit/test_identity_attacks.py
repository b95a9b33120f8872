"""How forged and misused tokens fare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.capabilities.identity.model import OWN_TYPE, SERVICE_ISSUER
from services.capabilities.identity.providers.foreign import (
    ForeignRules,
    ForeignTokens,
    shared_secret,
)
from services.capabilities.identity.providers.service import ServiceTokens, ServiceTokenVerifier
from services.kernel.errors import Unauthenticated
from services.kernel.secret import DeploymentSecret
from tests.fakes.identity_tokens import (
    DJANGO,
    LONG_NUMBER,
    SECRET,
    authenticator,
    bearer,
    claims,
    hmac_signed,
    over,
    own_token,
    part,
    pem_of,
    refusal,
)


@pytest.fixture(scope="module")
def private() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def stranger() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


ATTACKS: dict[str, Callable[[RSAPrivateKey, RSAPrivateKey], str]] = {
    "not a token": lambda mine, _: "garbage",
    "empty": lambda mine, _: "",
    "two parts": lambda mine, _: "a.b",
    "a signature cut off": lambda mine, _: own_token(mine).rsplit(".", 1)[0] + ".",
    "a signature changed": lambda mine, _: own_token(mine)[:-10] + "AAAAAAAAAA",
    "alg none": lambda mine, _: f"{part({'alg': 'none', 'typ': OWN_TYPE, 'kid': 'k1'})}.{part(claims())}.AA",
    "alg None in another case": lambda mine, _: (
        f"{part({'alg': 'nOnE', 'typ': OWN_TYPE})}.{part(claims())}.AA"
    ),
    "no alg": lambda mine, _: f"{part({'typ': OWN_TYPE, 'kid': 'k1'})}.{part(claims())}.AA",
    "alg that is no text": lambda mine, _: f"{part({'alg': ['RS256'], 'typ': OWN_TYPE})}.{part(claims())}.AA",
    "the public key as HMAC secret": lambda mine, _: hmac_signed(
        {"alg": "HS256", "typ": OWN_TYPE, "kid": "k1"}, claims(), pem_of(mine).encode()
    ),
    "the Django secret for own tokens": lambda mine, _: hmac_signed(
        {"alg": "HS256", "typ": OWN_TYPE, "kid": "k1"}, claims(), DJANGO.encode()
    ),
    "the Django secret for a service": lambda mine, _: hmac_signed(
        {"alg": "HS256", "typ": "antiphon-service+jwt"}, claims(iss=SERVICE_ISSUER), DJANGO.encode()
    ),
    "another's key": lambda mine, other: own_token(other),
    "an unknown key id": lambda mine, _: own_token(mine, {"kid": "k2"}),
    "a key id that is no text": lambda mine, _: own_token(mine, {"kid": "k1" * 500}),
    "jku": lambda mine, other: own_token(other, {"jku": "https://evil.example/keys"}),
    "x5u": lambda mine, other: own_token(other, {"x5u": "https://evil.example/keys"}),
    "jwk": lambda mine, other: own_token(other, {"jwk": {"kty": "RSA"}}),
    "x5c": lambda mine, other: own_token(other, {"x5c": ["AA"]}),
    "jku on a good token": lambda mine, _: own_token(mine, {"jku": "https://evil.example/keys"}),
    "crit": lambda mine, _: own_token(mine, {"crit": ["exp"]}),
    "another type": lambda mine, _: own_token(mine, {"typ": "JWT"}),
    "RS512": lambda mine, _: jwt.encode(
        claims(), mine, algorithm="RS512", headers={"typ": OWN_TYPE, "kid": "k1"}
    ),
    "no exp": lambda mine, _: own_token(mine, exp=None),
    "exp as text": lambda mine, _: f"{part({'alg': 'RS256'})}.{part(claims(exp='9999999999'))}.AA",
    "no issuer": lambda mine, _: own_token(mine, iss=None),
    "another issuer": lambda mine, _: own_token(mine, iss="https://evil.example"),
    "no audience": lambda mine, _: own_token(mine, aud=None),
    "another audience": lambda mine, _: own_token(mine, aud="elsewhere"),
    "other audiences": lambda mine, _: own_token(mine, aud=["elsewhere", "anywhere"]),
    "from the future": lambda mine, _: own_token(mine, iat=int(time.time()) + 600),
    "not valid yet": lambda mine, _: own_token(mine, nbf=int(time.time()) + 600),
    "no subject": lambda mine, _: own_token(mine, sub=None),
    "a subject that is no id": lambda mine, _: own_token(mine, sub="root"),
    "no session": lambda mine, _: own_token(mine, sid=None),
    "no role": lambda mine, _: own_token(mine, role=None),
    "an unknown role": lambda mine, _: own_token(mine, role="root"),
    "deeply nested": lambda mine, _: f"{part(b'[' * 4000)}.{part(claims())}.AA",
    "a payload that is a list": lambda mine, _: jwt.PyJWS().encode(
        b"[1]", mine, algorithm="RS256", headers={"typ": OWN_TYPE, "kid": "k1"}
    ),
    "a number too long to read": lambda mine, _: f"{part({'alg': 'RS256'})}.{part(LONG_NUMBER)}.AA",
    "a refresh token": lambda mine, _: "rt_" + "A" * 43,
    "a Django refresh token": lambda mine, _: jwt.encode(
        {"user_id": 1, "exp": time.time() + 60, "token_type": "refresh"}, DJANGO, algorithm="HS256"
    ),
    "a Django token without exp": lambda mine, _: jwt.encode({"user_id": 1}, DJANGO, algorithm="HS256"),
    "a Django token without a person": lambda mine, _: jwt.encode(
        {"exp": time.time() + 60}, DJANGO, algorithm="HS256"
    ),
    "a Django person who is true": lambda mine, _: jwt.encode(
        {"user_id": True, "exp": time.time() + 60}, DJANGO, algorithm="HS256"
    ),
    "a Django token by a longer algorithm": lambda mine, _: jwt.encode(
        {"user_id": 1, "exp": time.time() + 60}, DJANGO + DJANGO, algorithm="HS512"
    ),
    "a partner's token for somebody else": lambda mine, _: jwt.encode(
        claims(iss="https://partner.example", aud="them"), mine, algorithm="RS256"
    ),
    "a partner's token from another key": lambda mine, other: jwt.encode(
        claims(iss="https://partner.example", aud="us"), other, algorithm="RS256"
    ),
    "a partner's identity token": lambda mine, _: jwt.encode(
        claims(iss="https://partner.example", aud="us", typ="ID"), mine, algorithm="RS256"
    ),
    "a service of another deployment": lambda mine, _: ServiceTokens(
        DeploymentSecret(b"x" * 32), "chat"
    ).token(),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_or_misused_token_is_refused_without_telling_why(
    private: RSAPrivateKey, stranger: RSAPrivateKey, attack: str
) -> None:
    refused = await refusal(authenticator(private), bearer(ATTACKS[attack](private, stranger)))
    usual = await refusal(authenticator(private), bearer("garbage"))
    assert (refused.reason, refused.message) == ("TOKEN_INVALID", usual.message)


@pytest.mark.parametrize(
    "metadata",
    [
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer a b"},
        {"authorization": "Bearer \udcff"},
        {"authorization": "Bearer " + "a" * 100_000},
        {"authorization": "Bearer " + "a." * 5000},
        {"authorization": "Bearer garbage", "x-api-key": "ak_1_2"},
        {"x-on-behalf-of": "6f1c5d0e-3c52-4b0a-9d6a-0f6f2d1f9a11"},
    ],
    ids=str,
)
async def test_other_bad_credentials_are_refused(private: RSAPrivateKey, metadata: Mapping[str, str]) -> None:
    assert (await refusal(authenticator(private), metadata)).reason == "TOKEN_INVALID"


@pytest.mark.parametrize("metadata", [bearer("ak_1_2"), {"x-api-key": "ak_1_2"}, {"x-api-key": ""}], ids=str)
async def test_an_api_key_is_not_known(private: RSAPrivateKey, metadata: Mapping[str, str]) -> None:
    assert (await refusal(authenticator(private), metadata)).reason == "API_KEY_INVALID"


@given(st.text(max_size=300))
async def test_whatever_is_presented_is_refused_politely(text: str) -> None:
    subject = over(ServiceTokenVerifier(SECRET))
    assert (await refusal(subject, {"authorization": text})).reason in ("TOKEN_INVALID", "API_KEY_INVALID")


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
)
async def test_no_claim_of_any_kind_breaks_the_verifier(value: Any) -> None:
    rules = ForeignRules(frozenset(("HS256",)))
    subject = over(ForeignTokens(rules, shared_secret(DJANGO, ("HS256",))))
    for claim in ("exp", "iat", "nbf", "sub", "iss", "aud", "token_type"):
        payload = {"sub": "me", "exp": time.time() + 60, claim: value}
        token = hmac_signed({"alg": "HS256"}, payload, DJANGO.encode())
        try:
            await subject.authenticate(bearer(token))
        except Unauthenticated:
            continue
