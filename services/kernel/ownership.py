"""Whose resources a call is about."""

from __future__ import annotations

from services.kernel.errors import PermissionDenied
from services.kernel.principal import Principal

_SCOPE = "admin"


def whose(caller: Principal, user_id: str) -> str:
    """The caller's own id, or for administrators the one that they name, in lower case.

    Raises PermissionDenied: ROLE_REQUIRED for everybody else, SCOPE_REQUIRED for an administrator's API key without the scope `admin`.
    """
    owner = user_id.lower() or caller.user_id
    if owner == caller.user_id:
        return owner
    if not caller.is_admin:
        raise PermissionDenied(
            "what belongs to other people is for administrators",
            reason="ROLE_REQUIRED",
            metadata={"role": "admin"},
        )
    if caller.scopes is not None and _SCOPE not in caller.scopes:
        raise PermissionDenied(
            f"This API key lacks the scope {_SCOPE}, which what belongs to other people takes.",
            reason="SCOPE_REQUIRED",
            metadata={"scope": _SCOPE},
        )
    return owner
