"""What somebody who wants in might present: tokens forged, altered, misused or malformed, as the table `ATTACKS`."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.auth.providers.keys import describe
from services.capabilities.identity.model import OWN_TYPE, SERVICE_ISSUER, SERVICE_TYPE
from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.secret import DeploymentSecret
from tests.fakes.identity_tokens import hmac_signed, part

PARTNER, CURVE, DIRECTORY = (
    "https://partner.example",
    "https://curve.example",
    "https://directory.example",
)
DIRECTORY_KID = "directory-1"


@dataclass(frozen=True)
class Forger:
    """What an attacker may know or have stolen, and more: own tokens can be signed with the right key, so that one thing alone is
    wrong about them."""

    private: RSAPrivateKey
    kid: str
    genuine: str
    claims: Mapping[str, Any]
    stranger: RSAPrivateKey
    partner: RSAPrivateKey
    curve: EllipticCurvePrivateKey
    directory: RSAPrivateKey
    shared: str

    def own(self, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A token of Auth with other headers or claims; None leaves one out."""
        return rs256(self.private, self.header(**(headers or {})), self.payload(**changes))

    def header(self, **changes: Any) -> dict[str, Any]:
        return {"alg": "RS256", "typ": OWN_TYPE, "kid": self.kid, **changes}

    def payload(self, **changes: Any) -> dict[str, Any]:
        merged = {**self.claims, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def unsigned(self, **headers: Any) -> str:
        return f"{part(self.header(**headers))}.{part(self.payload())}.{part(b'signature')}"

    def exp(self, json_text: str) -> str:
        """A token of Auth whose `exp` is spelt like this."""
        text = json.dumps(self.payload(exp="EXP")).replace('"EXP"', json_text)
        return rs256(self.private, self.header(), text.encode())

    def by_public_key(self, key: bytes, **changes: Any) -> str:
        """The public key, taken for a secret."""
        return hmac_signed(self.header(alg="HS256"), self.payload(**changes), key)

    def foreign(
        self, key: Any, issuer: str, algorithm: str = "RS256", kid: Any = None, **changes: Any
    ) -> str:
        now = int(time.time())
        claims = {"iss": issuer, "aud": "us", "sub": "p-1", "iat": now, "exp": now + 300, **changes}
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)

    def directory_token(self, kid: object, **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": DIRECTORY, "aud": "us", "sub": "p-1", "iat": now, "exp": now + 300, **changes}
        return rs256(self.directory, {"alg": "RS256", "typ": "JWT", "kid": kid}, claims)

    def django(self, **changes: Any) -> str:
        """A token of Simple JWT."""
        now = int(time.time())
        usual = {"user_id": "7", "token_type": "access", "iat": now, "exp": now + 300, "jti": "0" * 32}
        claims = {name: value for name, value in {**usual, **changes}.items() if value is not None}
        return jwt.encode(claims, self.shared, algorithm="HS256")

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def public_der(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def public_jwk(self) -> dict[str, str]:
        return describe(self.private.public_key()).as_jwk()


def rs256(key: RSAPrivateKey, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes) -> str:
    """A JWS of any header and payload, whatever a library would say to them."""
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def respelt(token: str) -> str:
    """The same bytes, but for bits of the last character that mean nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def _signature(token: str, change: Callable[[bytes], bytes]) -> str:
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{part(change(base64.urlsafe_b64decode(signature + '==')))}"


def _duplicate(where: dict[str, Any], name: str, value: Any) -> bytes:
    return json.dumps(where).encode()[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}".encode()


def _nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


Attack = Callable[[Forger], str]


def _unsigned(alg: str) -> Attack:
    return lambda forger: forger.unsigned(alg=alg)


def _with_header(name: str, value: object) -> Attack:
    return lambda forger: forger.own({name: value})


def _from_directory(kid: object) -> Attack:
    return lambda forger: forger.directory_token(kid)


def _expiring(text: str) -> Attack:
    return lambda forger: forger.exp(text)


NONE = ("none", "None", "NONE", "nOnE", "none ", "")
KIDS: dict[str, Any] = {
    "a path": "../../../../dev/null",
    "SQL": "x' union select 'key' --",
    "very long": "k" * 4000,
    "empty": "",
    "an array": ["k"],
    "null": None,
    "a number": 1,
    "an object": {"kid": "k"},
    "the key of another issuer": DIRECTORY_KID,
    "a NUL": "k\0",
}
EXPIRIES = {
    "a text": '"9999999999"',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "1e400": "1e400",
    "negative": "-1",
    "true": "true",
    "null": "null",
    "an array": "[9999999999]",
    "an object": "{}",
    "beyond all time": "99999999999999999999",
    "more digits than a number has": "9" * 5000,
}
BROUGHT: dict[str, Any] = {
    "jku": "https://evil.example/keys",
    "x5u": "https://evil.example/chain",
    "x5c": ["MIIB"],
    "crit": ["exp"],
    "zip": "DEF",
    "b64": False,
    "enc": "A256GCM",
}

ATTACKS: dict[str, Attack] = {
    **{f"alg {alg!r}": _unsigned(alg) for alg in NONE},
    "alg none without a signature": lambda f: f.unsigned(alg="none").rpartition(".")[0] + ".",
    "no alg": lambda f: rs256(f.private, {"typ": OWN_TYPE, "kid": f.kid}, f.payload()),
    "alg that is no text": lambda f: f.own({"alg": ["RS256"]}),
    "alg of another case": lambda f: f.own({"alg": "rs256"}),
    "the public key as a secret, PEM": lambda f: f.by_public_key(f.public_pem),
    "the public key as a secret, PEM without its end": lambda f: f.by_public_key(f.public_pem.rstrip()),
    "the public key as a secret, DER": lambda f: f.by_public_key(f.public_der),
    "the public key as a secret, JWK": lambda f: f.by_public_key(json.dumps(f.public_jwk).encode()),
    "the public key as a secret, modulus": lambda f: f.by_public_key(f.public_jwk["n"].encode()),
    "the public key as a secret, nobody's token": lambda f: f.by_public_key(
        f.public_pem, iss=None, user_id="7"
    ),
    "the secret of another issuer": lambda f: f.by_public_key(f.shared.encode()),
    "RS512": lambda f: jwt.encode(f.payload(), f.private, algorithm="RS512", headers=f.header(alg="RS512")),
    "PS256": lambda f: jwt.encode(f.payload(), f.private, algorithm="PS256", headers=f.header(alg="PS256")),
    "a partner's key by another algorithm": lambda f: f.foreign(f.partner, PARTNER, "RS384"),
    "a site's key by a longer algorithm": lambda f: jwt.encode(
        {"user_id": "7", "exp": int(time.time()) + 60}, f.shared * 2, algorithm="HS512"
    ),
    **{f"kid: {name}": _with_header("kid", kid) for name, kid in KIDS.items()},
    **{
        f"kid for a key set: {name}": _from_directory(kid)
        for name, kid in KIDS.items()
        if kid != DIRECTORY_KID
    },
    "no kid": lambda f: rs256(f.private, {"alg": "RS256", "typ": OWN_TYPE}, f.payload()),
    **{f"a genuine token with {name}": _with_header(name, value) for name, value in BROUGHT.items()},
    "its own key, embedded": lambda f: rs256(
        f.stranger, f.header(jwk=describe(f.stranger.public_key()).as_jwk()), f.payload()
    ),
    "its own key, and where it is": lambda f: rs256(
        f.stranger, f.header(jku="https://evil.example/keys"), f.payload()
    ),
    "no exp": lambda f: f.own(exp=None),
    **{f"exp {name}": _expiring(text) for name, text in EXPIRIES.items()},
    "iat in the future": lambda f: f.own(iat=int(time.time()) + 600),
    "nbf in the future": lambda f: f.own(nbf=int(time.time()) + 600),
    "iat that is no time": lambda f: f.own(iat="now"),
    "expired, and of another key": lambda f: rs256(f.stranger, f.header(), f.payload(exp=1_700_000_000)),
    "another deployment's token with our kid": lambda f: rs256(f.stranger, f.header(), f.payload()),
    "another deployment's administrator": lambda f: rs256(f.stranger, f.header(), f.payload(role="admin")),
    "another deployment's service": lambda f: rs256(f.stranger, f.header(), f.payload(role="service")),
    "an unknown role": lambda f: f.own(role="root"),
    "no role": lambda f: f.own(role=None),
    "a person who is no id": lambda f: f.own(sub="root"),
    "no login session": lambda f: f.own(sid=None),
    "a revision that is none": lambda f: f.own(rev="9"),
    "a negative revision": lambda f: f.own(rev=-1),
    "another audience": lambda f: f.own(aud="elsewhere"),
    "no audience": lambda f: f.own(aud=None),
    "an audience in an object": lambda f: f.own(aud={"antiphon": True}),
    "another issuer's name": lambda f: f.own(iss="https://evil.example"),
    "an issuer that is no text": lambda f: f.own(iss=["antiphon"]),
    "a partner that calls itself Auth": lambda f: f.foreign(f.partner, "antiphon", kid=f.kid, aud="antiphon"),
    "Auth's key under a partner's name": lambda f: f.foreign(f.private, PARTNER),
    "a partner's token for others": lambda f: f.foreign(f.partner, PARTNER, aud="them"),
    "a partner's token by a stranger": lambda f: f.foreign(f.stranger, PARTNER),
    "a partner's identity token": lambda f: f.foreign(f.partner, PARTNER, token_use="id"),
    "an identity token": lambda f: f.own({"typ": "JWT"}),
    "a service of another deployment": lambda f: ServiceTokens(DeploymentSecret(b"x" * 32), "chat").token(),
    "a service by a shared secret": lambda f: hmac_signed(
        {"alg": "HS256", "typ": SERVICE_TYPE}, f.payload(iss=SERVICE_ISSUER, sub="chat"), f.shared.encode()
    ),
    "a service by the public key": lambda f: rs256(
        f.private, f.header(typ=SERVICE_TYPE), f.payload(iss=SERVICE_ISSUER, sub="chat")
    ),
    "our refresh token": lambda f: "rt_" + "A" * 43,
    "a site's refresh token": lambda f: f.django(token_type="refresh"),
    "a site's sliding token": lambda f: f.django(token_type="sliding"),
    "a site's token without exp": lambda f: f.django(exp=None),
    "a site's token without a person": lambda f: f.django(user_id=None),
    "a site's person who is true": lambda f: f.django(user_id=True),
    "a site's person with half a character": lambda f: f.django(user_id="\ud800"),
    "too long": lambda f: f.own(padding="x" * 7000),
    "a header that is too long": lambda f: f.own({"padding": "x" * 7000}),
    "alg twice": lambda f: rs256(f.private, _duplicate(f.header(), "alg", "RS256"), f.payload()),
    "sub twice": lambda f: rs256(f.private, f.header(), _duplicate(f.payload(), "sub", f.claims["sub"])),
    "a nested header": lambda f: f"{part(_nested(500))}.{part(f.payload())}.AA",
    "a nested payload": lambda f: rs256(f.private, f.header(), b"[" * 3000),
    "a claim that is nested": lambda f: rs256(
        f.private, f.header(), b'{"iss":"antiphon","x":' + b"[" * 2500 + b"]" * 2500 + b"}"
    ),
    "a payload that is no object": lambda f: rs256(f.private, f.header(), b'["antiphon"]'),
    "a payload in UTF-16": lambda f: rs256(f.private, f.header(), json.dumps(f.payload()).encode("utf-16")),
    "a payload that is no UTF-8": lambda f: rs256(
        f.private, f.header(), json.dumps(f.payload(x="?")).encode().replace(b"?", b"\xff")
    ),
    "no signature": lambda f: f.genuine.rpartition(".")[0] + ".",
    "a signature of zeros": lambda f: _signature(f.genuine, lambda raw: bytes(len(raw))),
    "a shorter signature": lambda f: _signature(f.genuine, lambda raw: raw[:-1]),
    "a longer signature": lambda f: _signature(f.genuine, lambda raw: raw + b"\0"),
    "a bit of the signature": lambda f: _signature(f.genuine, lambda raw: bytes([raw[0] ^ 1]) + raw[1:]),
    "another spelling of the signature": lambda f: respelt(f.genuine),
    "padding": lambda f: f.genuine + "==",
    "another payload under the signature": lambda f: ".".join(
        (f.genuine.split(".")[0], part(f.payload(role="admin")), f.genuine.split(".")[2])
    ),
    "four parts": lambda f: f.genuine + ".AA",
    "five parts": lambda f: "a.b.c.d.e",
    "ECDSA of zeros": lambda f: _signature(f.foreign(f.curve, CURVE, "ES256"), lambda raw: bytes(len(raw))),
    "ECDSA in DER": lambda f: _signature(
        f.foreign(f.curve, CURVE, "ES256"),
        lambda raw: b"\x30\x44\x02\x20" + raw[:32] + b"\x02\x20" + raw[32:],
    ),
    "ECDSA of nothing": lambda f: _signature(f.foreign(f.curve, CURVE, "ES256"), lambda raw: b"\0"),
    "not a token": lambda f: "garbage",
    "a digest": lambda f: hashlib.sha256(f.genuine.encode()).hexdigest(),
}
