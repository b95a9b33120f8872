"""What Auth needs for API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from services.auth.model.api_keys import ApiKey, KeyMaterial, KeyOwner, NewApiKey, Rotated
from services.auth.model.audit import Deed
from services.capabilities.claims.model import Claim
from services.kernel.paging import Page, PageRequest


class ApiKeys(Protocol):
    """The keys of people. Times are the store's own clock's. Every change adds the deed to the audit trail in its transaction."""

    async def add(self, key: NewApiKey, deed: Deed, claim: Claim | None = None) -> tuple[ApiKey, bool]:
        """Make a key, and tell whether it is new: False for one that the same claim made before.

        Raises NotFound when the person is gone, TooManyApiKeys when they have `MOST_KEYS` that have not ended (exactly so, however
        many are made at once), and AlreadyExists (REQUEST_ID_REUSED) for a claim with another digest.
        """
        ...

    async def get(self, user_id: str, api_key_id: str) -> ApiKey | None:
        """One key of a person; None without one."""
        ...

    async def list(self, user_id: str, page: PageRequest) -> Page[ApiKey]:
        """A person's keys, those too that have ended and were not forgotten yet, newest first."""
        ...

    async def rotate(
        self,
        user_id: str,
        api_key_id: str,
        digest: bytes,
        grace: timedelta,
        deed: Deed,
        claim: Claim | None = None,
    ) -> Rotated | None:
        """Put `digest` in the secret's place; the one before is accepted for `grace` more, the one before that no longer. Every
        process asks again for the key. None without such a key.

        A repeated claim changes nothing. Raises ApiKeyEnded for a key that is revoked or expired, and AlreadyExists
        (REQUEST_ID_REUSED).
        """
        ...

    async def revoke(self, user_id: str, api_key_id: str, deed: Deed) -> bool:
        """End a key; every process learns of it. False without such a key; ending it again changes nothing."""
        ...

    async def owner(self, public_id: str, digest: bytes) -> KeyOwner | None:
        """Whose key it is, if `digest` is that of its secret, or of the one before in its grace, and the key is neither expired nor
        revoked nor its person disabled; None otherwise. Digests are compared in constant time. Notes the use, at most once a
        minute for a key."""
        ...

    async def prune(self) -> int:
        """Forget some keys that ended `ENDED_KEYS_KEPT` ago, and some old secrets whose grace has ended; tell how many rows that
        changed, 0 when nothing is left. Safe in every replica."""
        ...


class KeyMaker(Protocol):
    """Makes and reads the text of keys: `ak_<public id>_<secret>`, 256 random bits in the secret."""

    def make(self, public_id: str = "") -> KeyMaterial:
        """A new key; with the public part given, a new secret for it."""
        ...

    def read(self, text: str) -> KeyMaterial | None:
        """The parts of a key; None for what can't be one."""
        ...
