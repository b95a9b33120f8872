"""Passwords by argon2id, in a pool of threads of their own."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from services.auth.errors import PasswordsOverloaded
from services.auth.ports.accounts import PasswordCheck

T = TypeVar("T")

# OWASP's first choice for argon2id: 19 MiB, two passes, one lane; about 40 ms a password. The library's default takes three
# times as long, which on two cores is three times fewer logins.
MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
_SALT_BYTES = 16
_HASH_BYTES = 32


class Argon2Passwords:
    """`ports.Passwords`. `close` it when nobody will ask any more."""

    def __init__(
        self, *, workers: int, queue: int, memory_kib: int = MEMORY_KIB, passes: int = PASSES
    ) -> None:
        """At most `workers` passwords are worked on at once and `queue` wait."""
        self._hasher = PasswordHasher(
            time_cost=passes,
            memory_cost=memory_kib,
            parallelism=LANES,
            hash_len=_HASH_BYTES,
            salt_len=_SALT_BYTES,
        )
        # To check against this costs what a check costs, and no password is right.
        self._nobody = (
            f"$argon2id$v=19$m={memory_kib},t={passes},p={LANES}${_noise(_SALT_BYTES)}${_noise(_HASH_BYTES)}"
        )
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._free = workers + queue
        self._lock = threading.Lock()

    async def hash(self, password: str) -> str:
        """See `ports.Passwords`."""
        return await self._run(lambda: self._hasher.hash(password))

    async def check(self, password_hash: str | None, password: str) -> PasswordCheck:
        """See `ports.Passwords`."""
        if password_hash is None:
            await self._run(lambda: self._matches(self._nobody, password))
            return PasswordCheck(correct=False)
        known = password_hash
        if not await self._run(lambda: self._matches(known, password)):
            return PasswordCheck(correct=False)
        return PasswordCheck(correct=True, outdated=self._hasher.check_needs_rehash(known))

    def close(self) -> None:
        """Forget what waits, and let what runs end."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._free == 0:
                raise PasswordsOverloaded
            self._free -= 1
        future = self._executor.submit(work)
        # Its place is free when the thread is done with it, which a caller that has gone away does not hasten.
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def _release(self, _: Future[T]) -> None:
        with self._lock:
            self._free += 1


def _noise(count: int) -> str:
    return base64.b64encode(os.urandom(count)).decode().rstrip("=")
