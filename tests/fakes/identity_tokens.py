"""Tokens of every kind, good and bad, and an authenticator that knows their issuers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.capabilities.identity.authenticator import TokenAuthenticator
from services.capabilities.identity.errors import KeysUnavailable
from services.capabilities.identity.model import OWN_TYPE
from services.capabilities.identity.ports import TokenVerifier
from services.capabilities.identity.providers.foreign import (
    ForeignRules,
    ForeignTokens,
    public_pem,
    shared_secret,
)
from services.capabilities.identity.providers.own import OwnTokens
from services.capabilities.identity.providers.service import ServiceTokenVerifier
from services.kernel.errors import Unauthenticated
from services.kernel.ids import new_id
from services.kernel.secret import DeploymentSecret
from tests.fakes.no_auth import NoApiKeys, NothingRevoked

SECRET = DeploymentSecret(b"d" * 32)
DJANGO = "a secret that a Django site shares with us"
LONG_NUMBER = b'{"exp":' + b"9" * 5000 + b"}"
USER_ID, SESSION_ID = new_id(), new_id()


class Keys:
    """Knows one key."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self.key = key.public_key()
        self.dropped = self.away = False

    def known(self, kid: str) -> Any:
        return self.key if kid == "k1" and not self.dropped and not self.away else None

    async def find(self, kid: str) -> Any:
        if self.away:
            raise KeysUnavailable
        return self.known(kid)


def pem_of(key: RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def over(*verifiers: TokenVerifier, **more: Any) -> TokenAuthenticator:
    """An authenticator; without `more`, of a deployment that has no API keys and where nothing was revoked."""
    rest: dict[str, Any] = {"api_keys": NoApiKeys(), "revocations": NothingRevoked(), **more}
    return TokenAuthenticator(verifiers, **rest)


def authenticator(private: RSAPrivateKey, **more: Any) -> TokenAuthenticator:
    django = ForeignTokens(
        ForeignRules(frozenset(("HS256",)), user_id_claim="user_id"), shared_secret(DJANGO, ("HS256",))
    )
    partner = ForeignTokens(
        ForeignRules(frozenset(("RS256",)), issuer="https://partner.example", audience="us"),
        public_pem(pem_of(private), ("RS256",)),
    )
    own = OwnTokens(Keys(private), issuer="antiphon", audience="antiphon")
    return over(own, ServiceTokenVerifier(SECRET), django, partner, **more)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {
        "iss": "antiphon",
        "aud": "antiphon",
        "sub": USER_ID,
        "sid": SESSION_ID,
        "role": "user",
        "iat": now,
        "exp": now + 900,
        "jti": new_id(),
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def own_token(key: RSAPrivateKey, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
    given = {"typ": OWN_TYPE, "kid": "k1", **(headers or {})}
    return jwt.encode(claims(**changes), key, algorithm="RS256", headers=given)


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def hmac_signed(header: dict[str, Any], payload: dict[str, Any], key: bytes) -> str:
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), hashlib.sha256))}"


async def refusal(subject: TokenAuthenticator, metadata: Mapping[str, str]) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as refused:
        await subject.authenticate(metadata)
    return refused.value
