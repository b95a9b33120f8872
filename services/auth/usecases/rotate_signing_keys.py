"""Rotation of the signing keys, for the command line of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from services.auth.model.signing_keys import KeyState, NotYet, Rotation
from services.auth.ports.signing_keys import SigningKeyMaker, SigningKeys
from services.kernel.startup import StartupError


class RotateSigningKeys:
    """Has the next key sign, when every process knows it, and publishes another next one."""

    def __init__(self, store: SigningKeys, maker: SigningKeyMaker, *, minimum_age: timedelta) -> None:
        self._store = store
        self._maker = maker
        self._minimum_age = minimum_age

    async def __call__(self, *, leaked: bool, waits: Callable[[float], None]) -> Rotation:
        """Rotate, after a wait if need be: `waits` is told its seconds. With `leaked` the keys that have signed are dropped, at once.

        Raises StartupError when there are no keys, or they were sealed with another secret, and Unavailable.
        """
        stored = await self._store.all()
        if not stored:
            raise StartupError(
                "There are no signing keys yet.", "Run `antiphon serve`: the first start of Auth makes them."
            )
        for key in stored:
            # A key sealed with a wrong secret would end every login as soon as it is active.
            if key.state is not KeyState.RETIRED:
                await self._maker.check(key)
        while True:
            # The store may have published the one before, so each attempt brings its own.
            following = await self._maker.make(KeyState.NEXT)
            done = await self._store.rotate(following, self._minimum_age, leaked=leaked)
            if isinstance(done, Rotation):
                return done
            await self._wait(done, waits)

    async def _wait(self, not_yet: NotYet, waits: Callable[[float], None]) -> None:
        waits(not_yet.seconds)
        await asyncio.sleep(not_yet.seconds)
