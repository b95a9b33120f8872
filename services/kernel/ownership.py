"""Whose resources a call is about."""

from __future__ import annotations

import hashlib
import hmac

from services.kernel.errors import PermissionDenied
from services.kernel.principal import Principal


def whose(caller: Principal, user_id: str, scope: str = "admin") -> str:
    """The caller's own id, or for administrators the one that they name, in lower case.

    Raises PermissionDenied: ROLE_REQUIRED for everybody else, SCOPE_REQUIRED for an administrator's API key without the scope.
    """
    owner = user_id.lower() or caller.user_id
    if owner != caller.user_id:
        require_administrator(caller, scope)
    return owner


def require_administrator(caller: Principal, scope: str = "admin") -> None:
    """Let administrators pass; of their API keys those with the scope. Raises PermissionDenied as `whose` does."""
    if not caller.is_admin:
        raise PermissionDenied(
            "what belongs to other people is for administrators",
            reason="ROLE_REQUIRED",
            metadata={"role": "admin"},
        )
    if caller.scopes is not None and scope not in caller.scopes:
        raise PermissionDenied(
            f"This API key lacks the scope {scope}, which what belongs to other people takes.",
            reason="SCOPE_REQUIRED",
            metadata={"scope": scope},
        )


class OwnerTokens:
    """Tokens that stand for the owner of what an anonymous caller had made. They are computed, never stored."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, id_: str) -> str:
        """The token of what has this id."""
        return hmac.digest(self._key, id_.encode(), hashlib.sha256).hex()[:40]

    def fits(self, token: str, id_: str) -> bool:
        """Whether `token` is that of what has this id."""
        return hmac.compare_digest(token.encode(), self.make(id_).encode())
