"""How Auth fails.

ServiceError
├── AlreadyExists
│   ├── EmailTaken
│   └── UsernameTaken
├── FailedPrecondition
│   ├── LastAdministrator
│   ├── ApiKeyEnded
│   └── TooManyApiKeys
├── PermissionDenied
│   ├── AccountDisabled
│   └── RegistrationClosed
├── Unauthenticated
│   ├── InvalidCredentials
│   ├── RefreshTokenInvalid
│   ├── RefreshTokenExpired
│   ├── RefreshTokenRevoked
│   ├── RefreshTokenReused
│   └── StandingLost
└── ResourceExhausted
    ├── LoginDelayed
    └── PasswordsOverloaded
"""

from __future__ import annotations

from services.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)


class EmailTaken(AlreadyExists):
    """An account with this e-mail exists."""

    reason = "EMAIL_TAKEN"

    def __init__(self) -> None:
        super().__init__("an account with this e-mail exists already; log in, or use another e-mail")


class UsernameTaken(AlreadyExists):
    """An account with this username exists."""

    reason = "USERNAME_TAKEN"

    def __init__(self) -> None:
        super().__init__("this username is taken; choose another one")


class LastAdministrator(FailedPrecondition):
    """Nobody would be left to administer the deployment."""

    reason = "LAST_ADMINISTRATOR"

    def __init__(self) -> None:
        super().__init__("this is the last administrator; make another one first")


class ApiKeyEnded(FailedPrecondition):
    """The key was revoked or has expired."""

    reason = "API_KEY_ENDED"

    def __init__(self) -> None:
        super().__init__("this API key has ended and can't be rotated; make a new one")


class TooManyApiKeys(FailedPrecondition):
    """The person has as many good keys as one may have."""

    reason = "TOO_MANY_API_KEYS"

    def __init__(self, maximum: int) -> None:
        super().__init__(
            f"there are {maximum} API keys that have not ended, and no more are allowed; revoke one first",
            metadata={"maximum": str(maximum)},
        )


class AccountDisabled(PermissionDenied):
    """An administrator has disabled the account. Only who has proved to own it is told."""

    reason = "ACCOUNT_DISABLED"

    def __init__(self) -> None:
        super().__init__("this account is disabled; ask an administrator")


class RegistrationClosed(PermissionDenied):
    """The deployment lets administrators alone make accounts."""

    reason = "ROLE_REQUIRED"

    def __init__(self) -> None:
        super().__init__(
            "registration is closed; ask an administrator for an account", metadata={"role": "admin"}
        )


class InvalidCredentials(Unauthenticated):
    """E-mail or password is wrong."""

    reason = "INVALID_CREDENTIALS"

    def __init__(self) -> None:
        super().__init__("e-mail or password is wrong")


class RefreshTokenInvalid(Unauthenticated):
    """No login session has this refresh token, or none has it any longer."""

    reason = "TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the refresh token is not valid; log in again")


class RefreshTokenExpired(Unauthenticated):
    """The login session was not refreshed in time."""

    reason = "TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the refresh token has expired; log in again")


class RefreshTokenRevoked(Unauthenticated):
    """The login session was ended."""

    reason = "TOKEN_REVOKED"

    def __init__(self) -> None:
        super().__init__("this login session was ended; log in again")


class StandingLost(Unauthenticated):
    """What the caller was let in for has been taken back: its login session or key has ended, or its account is no longer what it was."""

    reason = "TOKEN_REVOKED"

    def __init__(self) -> None:
        super().__init__("the credential has been revoked; log in again")


class RefreshTokenReused(Unauthenticated):
    """A rotated refresh token came back after its grace, so the login session was ended: one of the two who have it stole it."""

    reason = "REFRESH_TOKEN_REUSED"

    def __init__(self) -> None:
        super().__init__(
            "this refresh token was used before, so its login session was ended to be safe; log in again"
        )


class LoginDelayed(ResourceExhausted):
    """Too many logins have failed for the account, or from the address. Told before the password is looked at."""

    reason = "LOGIN_DELAYED"

    def __init__(self, seconds: float) -> None:
        super().__init__("too many failed logins; wait before the next one", retry_after=seconds)


class PasswordsOverloaded(ResourceExhausted):
    """More passwords wait to be hashed than the queue takes."""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__(
            "too many logins at once; try again shortly", metadata={"queue": "passwords"}, retry_after=1.0
        )
