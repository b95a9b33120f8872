"""What makes a call that creates something safe to repeat."""

from __future__ import annotations

import json
from dataclasses import dataclass

from services.capabilities.claims.model import body_digest
from services.kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class RequestClaims:
    """Makes the claims that stores take; `digest_key` keys the digests of bodies."""

    digest_key: bytes

    def __call__(
        self, principal: Principal, request_id: str, rpc: str, *body: object
    ) -> tuple[str, str, bytes] | None:
        """(caller, request_id, digest) of a call; None without a request_id. `body` is whatever JSON can hold."""
        if not request_id:
            return None
        text = json.dumps([rpc, *body]).encode()
        return principal.user_id, request_id.lower(), body_digest(self.digest_key, text)
