"""Whose resources a call is about."""

from __future__ import annotations

from services.kernel.errors import PermissionDenied
from services.kernel.principal import Principal


def whose(caller: Principal, user_id: str) -> str:
    """The caller's own id, or for administrators the one that they name. Raises PermissionDenied (ROLE_REQUIRED) for everybody else."""
    owner = user_id.lower() or caller.user_id
    if owner != caller.user_id and not caller.is_admin:
        raise PermissionDenied(
            "what belongs to other people is for administrators",
            reason="ROLE_REQUIRED",
            metadata={"role": "admin"},
        )
    return owner
