"""VerifyToken."""

from __future__ import annotations

from dataclasses import dataclass

from services.capabilities.identity.ports import CredentialVerifier
from services.kernel.errors import Unauthenticated
from services.kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class Verification:
    """Whom a credential belongs to; or, when it is not accepted, None and the reason."""

    principal: Principal | None
    reason: str = ""


class VerifyToken:
    """Tells another service whom a credential belongs to, now: nothing is answered from memory."""

    def __init__(self, verifier: CredentialVerifier) -> None:
        self._verifier = verifier

    async def __call__(self, credential: str) -> Verification:
        """Raises Unavailable when it can't be told."""
        try:
            return Verification(await self._verifier.verify(credential))
        except Unauthenticated as error:
            return Verification(None, error.reason)
