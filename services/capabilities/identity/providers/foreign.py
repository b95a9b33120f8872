"""Access tokens of other systems, such as a Django site that shares its key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from services.capabilities.identity.errors import TokenInvalid
from services.capabilities.identity.model import Proof, UnverifiedToken, foreign_user_id
from services.capabilities.identity.ports import KeySource
from services.capabilities.identity.signatures import MINIMUM_SECRET_BYTES, KeyTooShort, Signatures
from services.kernel.principal import Kind, Principal

_MAXIMUM_SUBJECT = 255
_MAXIMUM_KID = 256
_PEM = "-----BEGIN"

# Refresh and identity tokens are signed with the same key. Frameworks mark the kind in one of these claims: Simple JWT
# writes `token_type`, Flask-JWT-Extended `type`, Keycloak `typ`, Cognito `token_use`.
_KIND_CLAIMS = ("token_type", "type", "typ", "token_use")
_ACCESS = "access"
_ACCESS_KINDS = frozenset((_ACCESS, "access_token", "bearer", "jwt", "at+jwt"))
_HEADER_TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))


@dataclass(frozen=True, slots=True)
class ForeignRules:
    """What an issuer's tokens must have. Empty `issuer` and `audience` are not looked at; `leeway` is in seconds.

    With a `token_type_claim` every token must have that claim, and say `access` there (Simple JWT's TOKEN_TYPE_CLAIM). Without one
    the usual claims of this meaning are looked at where they are.
    """

    algorithms: frozenset[str]
    issuer: str = ""
    audience: str = ""
    user_id_claim: str = "sub"
    token_type_claim: str = ""
    leeway: float = 0.0


@dataclass(frozen=True, slots=True)
class FixedKey:
    """The one key that an issuer uses, in the form that its algorithms take."""

    key: Any = field(repr=False)


def shared_secret(secret: str, algorithms: Iterable[str], *, legacy: bool = False) -> FixedKey:
    """An HMAC key. Raises KeyTooShort for one under 32 bytes, unless the issuer is marked as legacy,
    and ValueError for a public key."""
    raw = secret.encode()
    if len(raw) < MINIMUM_SECRET_BYTES and not legacy:
        raise KeyTooShort(
            f"the shared key has {len(raw)} bytes, and under {MINIMUM_SECRET_BYTES} it can be guessed from a token"
        )
    return FixedKey(Signatures(algorithms).prepare(raw))


def public_pem(pem: str, algorithms: Iterable[str]) -> FixedKey:
    """A public key in PEM form, or in the file of that path. Raises ValueError for what is none, or does not suit the algorithms."""
    if _PEM not in pem:
        try:
            pem = Path(pem).expanduser().read_text(errors="replace")
        except (OSError, ValueError):
            raise ValueError("`pem` is no public key in PEM form, and no file with one") from None
    if "PRIVATE KEY" in pem:
        raise ValueError("`pem` holds a private key, which is for the issuer alone; the public key is needed")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("`pem` is no public key in PEM form") from error
    return FixedKey(Signatures(algorithms).prepare(key))


class ForeignTokens:
    """Verifies one other system's access tokens; its people become users with an id of their own."""

    def __init__(self, rules: ForeignRules, key: FixedKey | KeySource) -> None:
        self._rules = rules
        self._key = key
        self._signatures = Signatures(rules.algorithms)
        self.issuer = rules.issuer

    @property
    def algorithms(self) -> frozenset[str]:
        """What this issuer may sign with."""
        return self._signatures.algorithms

    def vouches(self, proof: Proof) -> bool:
        """See `TokenVerifier`. The one key that was set stays; published ones may be replaced under the same id."""
        return isinstance(self._key, FixedKey) or self._key.known(proof.key_id) == proof.key

    async def verify(self, token: UnverifiedToken, now: float) -> Proof:
        """See `TokenVerifier`."""
        rules = self._rules
        if token.algorithm not in self.algorithms or (rules.issuer and token.issuer != rules.issuer):
            raise TokenInvalid
        kid, key = await self._find(token)
        self._signatures.check(token, self._prepared(key, token))
        if rules.audience:
            token.check_audience(rules.audience)
        self._check_kind(token)
        issued, expires = token.lifetime(now, leeway=rules.leeway)
        user_id = foreign_user_id(rules.issuer, self._subject(token))
        principal = Principal(Kind.USER, user_id=user_id, expire_time=expires)
        return Proof(principal, issued, key_id=kid, key=key)

    async def _find(self, token: UnverifiedToken) -> tuple[str, Any]:
        """The key of the token, and its id where it is a published one."""
        if isinstance(self._key, FixedKey):
            return "", self._key.key
        kid = token.header.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= _MAXIMUM_KID:
            raise TokenInvalid
        found = await self._key.find(kid)
        if found is None:
            raise TokenInvalid
        return kid, found

    def _prepared(self, key: Any, token: UnverifiedToken) -> Any:
        if isinstance(self._key, FixedKey):
            return key
        try:
            return self._signatures.prepare(key, only=token.algorithm)
        except ValueError:
            raise TokenInvalid from None

    def _check_kind(self, token: UnverifiedToken) -> None:
        type_ = token.header.get("typ", "JWT")
        if not isinstance(type_, str) or type_.lower() not in _HEADER_TYPES:
            raise TokenInvalid
        for claim in _KIND_CLAIMS:
            kind = token.payload.get(claim)
            if kind is not None and (not isinstance(kind, str) or kind.lower() not in _ACCESS_KINDS):
                raise TokenInvalid
        required = self._rules.token_type_claim
        if required and token.payload.get(required) != _ACCESS:
            raise TokenInvalid

    def _subject(self, token: UnverifiedToken) -> str:
        subject = token.payload.get(self._rules.user_id_claim)
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        # JSON can spell half of a surrogate pair, which no UTF-8 text holds.
        if not isinstance(subject, str) or not 0 < len(subject.encode(errors="replace")) <= _MAXIMUM_SUBJECT:
            raise TokenInvalid
        if not subject.isprintable():
            raise TokenInvalid
        return subject
