"""Checks signatures with one key and the algorithms that were allowed for it, whatever a token's header says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from services.capabilities.identity.errors import TokenInvalid
from services.capabilities.identity.model import UnverifiedToken

MINIMUM_RSA_BITS = 2048
MINIMUM_SECRET_BYTES = 32


class KeyTooShort(ValueError):
    """A key that can be guessed."""


class Signatures:
    """Verifies with a fixed list of algorithms, all of one family."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        """Raises ValueError for an algorithm that is not known, `none`, or a mixture of HMAC with others."""
        self.algorithms = frozenset(algorithms)
        known = get_default_algorithms()
        if not self.algorithms or "none" in self.algorithms or not self.algorithms <= set(known):
            raise ValueError("an issuer needs algorithms that are known, and `none` is none")
        if len({name.startswith("HS") for name in self.algorithms}) > 1:
            raise ValueError("a shared secret and a public key never go together")
        self._by_name = {name: known[name] for name in self.algorithms}

    def prepare(self, key: Any, only: str | None = None) -> Any:
        """The key in the form that `check` takes. Raises ValueError for one that does not suit every algorithm, or that `only`."""
        prepared = None
        for name in self.algorithms if only is None else (only,):
            try:
                prepared = self._by_name[name].prepare_key(key)
            except (PyJWTError, TypeError, ValueError) as error:
                raise ValueError(f"the key does not suit {name}: {error}") from error
        bits = getattr(prepared, "key_size", None)
        if bits is not None and bits < MINIMUM_RSA_BITS and not hasattr(prepared, "curve"):
            raise KeyTooShort(f"an RSA key of {bits} bits is too short; {MINIMUM_RSA_BITS} are needed")
        return prepared

    def check(self, token: UnverifiedToken, prepared: Any) -> None:
        """Raise TokenInvalid unless the token was signed by the owner of the key, in an allowed way."""
        algorithm = self._by_name.get(token.algorithm)
        if algorithm is None:
            raise TokenInvalid
        try:
            good = algorithm.verify(token.signing_input, prepared, token.signature)
        except (PyJWTError, TypeError, ValueError):
            raise TokenInvalid from None
        if not good:
            raise TokenInvalid
