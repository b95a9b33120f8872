"""What identity needs, as promises."""

from __future__ import annotations

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from services.capabilities.identity.model import Proof, UnverifiedToken


class KeySource(Protocol):
    """Public keys of one issuer."""

    async def find(self, kid: str) -> PublicKeyTypes | None:
        """The key of this id; None when the issuer has none of it.

        Raises KeysUnavailable when that can't be told now. A key that is known already is given without suspending, for as
        long as the issuer can't be reached even if it is old. Asking for unknown ids does not cost the issuer a call each.
        """
        ...


class TokenVerifier(Protocol):
    """Believes the tokens of one issuer."""

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens; empty for an issuer whose tokens need not name it."""
        ...

    @property
    def algorithms(self) -> frozenset[str]:
        """All that its tokens may be signed with."""
        ...

    async def verify(self, token: UnverifiedToken, now: float) -> Proof:
        """Whom the token proves at `now`, in Unix seconds.

        Raises TokenExpired for a token whose signature is good, TokenInvalid for all else, KeysUnavailable when the key
        can't be looked up.
        """
        ...


class Revocations(Protocol):
    """What was revoked before it expired."""

    def is_revoked(self, proof: Proof) -> bool:
        """Whether the login session, the API key or the person of this proof was revoked after it was issued.

        Answers from memory within microseconds: it is asked on every call.
        """
        ...
