"""What Login and ChangePassword answer while passwords fail."""

from __future__ import annotations

from services.auth.errors import LoginDelayed


def refuse_for(seconds: float) -> None:
    """Raises LoginDelayed while there is something left of a delay (`ports.LoginAttempts`)."""
    if seconds > 0:
        raise LoginDelayed(seconds)
