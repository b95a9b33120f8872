"""Tokens of a login session, and where they are kept."""

from __future__ import annotations

import base64
import copy
import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from antiphon.auth.v1 import auth_pb2

from antiphon_client.errors import AntiphonError, Unauthenticated

REFRESH_BEFORE = 30.0
"""Seconds before its end at which an access token is renewed."""

REFRESH_TIMEOUT = 30.0
"""Seconds that a renewal may take."""

CLOSE_TIMEOUT = 1.0
"""Seconds that closing waits for tokens that are being changed."""

REFRESH_PAUSE = 1.0
"""Seconds until a renewal that failed is tried again while the access token lives, where the server names no other time."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair of tokens. Times are in Unix seconds by this machine's clock; None when not known.

    Without a `refresh_token` the access token, which may be an API key, is used as long as the server takes it.
    """

    access_token: str = ""
    access_token_expire_time: float | None = None
    refresh_token: str = ""
    refresh_token_expire_time: float | None = None

    @classmethod
    def of(cls, response: auth_pb2.LoginResponse | auth_pb2.RefreshTokenResponse) -> Tokens:
        """The tokens that a login or a refresh gave."""
        now = time.time()
        lifetime = _lifetime(response.access_token)
        expires = response.access_token_expire_time.seconds
        return cls(
            access_token=response.access_token,
            # Counted from now by the token's own lifetime, the end is right even where this machine's clock is wrong.
            access_token_expire_time=now + lifetime if lifetime is not None else float(expires) or None,
            refresh_token=response.refresh_token,
            refresh_token_expire_time=float(response.refresh_token_expire_time.seconds) or None,
        )

    def __repr__(self) -> str:
        return f"Tokens(…, access_token_expire_time={self.access_token_expire_time})"

    def usable(self, rejected: str) -> bool:
        """Whether the access token can be sent as it is, given that the server has `rejected` one (empty: none)."""
        if not self.refresh_token:
            return True
        return self._lives(rejected, REFRESH_BEFORE)

    def still_good(self, rejected: str) -> bool:
        """Whether the access token can be sent when renewing it does not work out."""
        return self._lives(rejected, 0.0)

    def _lives(self, rejected: str, margin: float) -> bool:
        if not self.access_token or self.access_token == rejected:
            return False
        return self.access_token_expire_time is None or self.access_token_expire_time - time.time() > margin


@dataclass(frozen=True, slots=True)
class FailedRenewal:
    """A renewal that failed at `moment`, by the monotonic clock: it was that of everybody who had asked for one by then."""

    failure: AntiphonError
    refresh_token: str = field(repr=False)
    moment: float = field(default_factory=time.monotonic)

    def tell(self, refresh_token: str, asked: float) -> None:
        """Raises its failure, each caller's own, where `refresh_token` was `asked` to be renewed before it failed."""
        if refresh_token == self.refresh_token and asked < self.moment:
            raise copy.copy(self.failure)


class TokenStore(Protocol):
    """Keeps the tokens of one login session. Used from several threads, and maybe from several processes."""

    def load(self) -> Tokens | None:
        """The tokens as they were saved last; None when there are none."""

    def save(self, tokens: Tokens | None) -> None:
        """Replaces the tokens, all or nothing; None removes them."""

    def exclusive(self, timeout: float | None = None) -> AbstractContextManager[None]:
        """Held while tokens are renewed: nobody else who uses the same store renews or saves meanwhile.

        It may be entered in one thread and left in another. Entering it raises TimeoutError when somebody else holds it for longer than
        `timeout` seconds; None leaves it to the store how long to wait.
        """


class MemoryTokenStore:
    """Keeps tokens as long as the process lives. The client's own lock is all the exclusion that it needs."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens

    def load(self) -> Tokens | None:
        """The tokens as they were saved last."""
        return self._tokens

    def save(self, tokens: Tokens | None) -> None:
        """Replaces the tokens."""
        self._tokens = tokens

    @contextmanager
    def exclusive(self, timeout: float | None = None) -> Iterator[None]:
        """Nothing to exclude."""
        yield


def store_of(token: str | None, refresh_token: str | None, store: TokenStore | None) -> TokenStore:
    """The store that a client's arguments mean. Raises ValueError when they contradict each other, or a token is none."""
    if token and not (token.isascii() and token.isprintable()):
        raise ValueError("a token has no characters but printable ASCII")
    if store is not None:
        if token or refresh_token:
            raise ValueError("give a store or tokens, not both")
        return store
    if token or refresh_token:
        return MemoryTokenStore(Tokens(access_token=token or "", refresh_token=refresh_token or ""))
    return MemoryTokenStore()


def _lifetime(jwt: str) -> float | None:
    # Only to know how long; whether the token is genuine is the server's business.
    try:
        payload = jwt.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) - float(claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def logged_out() -> Unauthenticated:
    """The failure of a client whose tokens somebody else has removed: it does not go on as nobody."""
    return Unauthenticated("you were logged out; log in again", reason="CREDENTIAL_MISSING")


def metadata(token: str, request_id: str) -> tuple[tuple[str, str], ...]:
    """What travels beside a request."""
    correlation = (("x-request-id", request_id),)
    return (*correlation, ("authorization", f"Bearer {token}")) if token else correlation
