"""What is wrong with a credential.

ServiceError
├── Unauthenticated
│   ├── TokenInvalid
│   ├── TokenExpired
│   ├── TokenRevoked
│   └── ApiKeyInvalid
└── Unavailable
    ├── KeysUnavailable
    └── RevocationsUnknown

Whoever presents a bad token learns one thing of it: whether it was good once. Why it was refused would help a forger.
"""

from __future__ import annotations

from services.kernel.errors import Unauthenticated, Unavailable


class TokenInvalid(Unauthenticated):
    """The token is malformed, or its signature, issuer, audience or kind is not accepted."""

    reason = "TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the credential is not valid; log in to get an access token")


class TokenExpired(Unauthenticated):
    """The token was good and has expired."""

    reason = "TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the access token has expired; refresh it or log in again")


class TokenRevoked(Unauthenticated):
    """The token was good and has been revoked."""

    reason = "TOKEN_REVOKED"

    def __init__(self) -> None:
        super().__init__("the access token has been revoked; log in again")


class ApiKeyInvalid(Unauthenticated):
    """The API key does not exist, has expired or was revoked."""

    reason = "API_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__("the API key is not valid")


class KeysUnavailable(Unavailable):
    """The key that the token names can't be looked up now."""

    def __init__(self) -> None:
        super().__init__(
            "the keys that tokens are checked with can't be fetched now; try again", retry_after=1.0
        )


class RevocationsUnknown(Unavailable):
    """Auth has been out of reach for so long that a credential could have been revoked without notice."""

    def __init__(self) -> None:
        super().__init__(
            "whether this credential is still good can't be told now: Auth can't be reached; try again",
            retry_after=2.0,
        )
