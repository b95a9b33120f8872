"""GetJwks."""

from __future__ import annotations

from collections.abc import Sequence

from services.auth.model.signing_keys import PublicKey
from services.auth.ports.signing_keys import PublicKeys


class GetJwks:
    """Gives the keys that access tokens are checked with."""

    def __init__(self, keys: PublicKeys) -> None:
        self._keys = keys

    async def __call__(self) -> Sequence[PublicKey]:
        """Keys that sign, signed, or will sign."""
        return await self._keys.published()
