"""The door between the runtime and whoever knows credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from services.kernel.principal import Principal


class Authenticator(Protocol):
    """Tells who calls."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal | None:
        """The caller that the call's metadata (`authorization`, `x-api-key`, `x-on-behalf-of`) proves; None without a credential.

        Raises Unauthenticated for a credential that is not accepted (TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED,
        API_KEY_INVALID), and Unavailable when that can't be told now. Never returns a guess. A call that is answered from
        memory does not suspend.
        """
        ...
