"""What an authenticator needs of Auth, where a test is about something else."""

from __future__ import annotations

from services.capabilities.identity.errors import ApiKeyInvalid
from services.capabilities.identity.model import Proof
from services.kernel.principal import Principal


class NothingRevoked:
    """Revocations that there are none of."""

    position = 0

    def is_deleted(self, user_id: str) -> bool:
        return False

    def is_revoked(self, proof: Proof) -> bool:
        return False


class NoApiKeys:
    """Knows of no API key."""

    async def verify(self, key: str) -> Principal:
        raise ApiKeyInvalid
