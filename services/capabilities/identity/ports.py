"""What identity needs, as promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from services.capabilities.identity.model import Proof, UnverifiedToken
from services.capabilities.identity.revocations import FeedItem
from services.kernel.principal import Principal


class KeySource(Protocol):
    """Public keys of one issuer."""

    async def find(self, kid: str) -> PublicKeyTypes | None:
        """The key of this id; None when the issuer has none of it.

        Raises KeysUnavailable when that can't be told now. A key that is known is given at once, unless the issuer was not asked
        for longer than it may take to hear of a withdrawn one; while the issuer can't be reached known keys stay good for as long as
        the source allows. Asking for unknown ids does not cost the issuer a call each.
        """
        ...

    def known(self, kid: str) -> PublicKeyTypes | None:
        """What `find` would give at once, from memory; None where it would have to look. Asked on every call."""
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

    def vouches(self, proof: Proof) -> bool:
        """Whether a proof that has not expired is as good as when it was made, from memory, within a microsecond.

        False: verify the token anew. No proof outlives the key that it was made with.
        """
        ...

    async def verify(self, token: UnverifiedToken, now: float) -> Proof:
        """Whom the token proves at `now`, in Unix seconds.

        Raises TokenExpired for a token whose signature is good, TokenInvalid for all else, KeysUnavailable when the key
        can't be looked up.
        """
        ...


class ApiKeyVerifier(Protocol):
    """Believes API keys, `ak_<public id>_<secret>`."""

    async def verify(self, key: str) -> Principal:
        """Whose key it is: a user or administrator with `api_key_id`, `scopes`, and `expire_time` (0: none; that of an old secret
        in its grace, when it is one).

        Raises ApiKeyInvalid for all that is not good now, and Unavailable when that can't be told. Whatever was revoked
        before the call began is known to it.
        """
        ...


class CredentialVerifier(Protocol):
    """Believes whatever kind of credential is good now."""

    async def verify(self, credential: str) -> Principal:
        """Whose credential (a JWT or an API key, without `Bearer`) it is, looked up and checked anew.

        Raises Unauthenticated with the reason for one that is not accepted, Unavailable when that can't be told.
        """
        ...


class Revocations(Protocol):
    """What was revoked before it expired. Answers from memory within microseconds: it is asked on every call."""

    @property
    def position(self) -> int:
        """How far the feed was followed."""
        ...

    def is_deleted(self, user_id: str) -> bool:
        """Whether this person was deleted so lately that somebody may still hold a credential of theirs."""
        ...

    def is_revoked(self, proof: Proof) -> bool:
        """Whether the login session, the API key or the person of this proof was revoked after the proof's `revision`.

        For an API key that means: ask again. Raises RevocationsUnknown for a revocable proof (`Proof.revocable`) when the feed has
        been silent for longer than the operator allows, or was never heard at all.
        """
        ...


class RevocationSource(Protocol):
    """The feed, from Auth in this process or another one."""

    def watch(self, after: int | None) -> AsyncIterator[FeedItem]:
        """What came after the position `after`, everything that is kept for good among it; with None, what a credential can still be
        refused for. Then `Synced`, then what happens, in order, without a gap, and heartbeats.

        Raises Unavailable when the source is lost; watch again, after the last position. Close it (`aclose`) when done.
        """
        ...
