"""Calls that may be repeated: whoever comes again with the same request_id finds what the first call has made, or waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

from services.capabilities.generations.errors import GenerationInterrupted
from services.capabilities.generations.model import G, Generation, State
from services.capabilities.generations.ports import GenerationStore
from services.capabilities.generations.running import Generations, R, Work, in_time
from services.kernel.errors import Cancelled, DeadlineExceeded, InvalidArgument, ServiceError, Unavailable
from services.kernel.failures import MASKED, error_of
from services.kernel.ids import is_random_uuid
from services.kernel.metering import Question
from services.kernel.request import current_or_none

_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 2.0
_ATTEMPTS = 3
_LATE = "DEADLINE_EXCEEDED"


@dataclass(frozen=True, slots=True)
class RepeatableCall(Generic[G, R]):
    """Calls of one kind. `kept` is what a completed generation has made, None when that is gone; `gone` is the error for that, by the
    request_id."""

    store: GenerationStore[G]
    generations: Generations[G, R]
    kept: Callable[[str], Awaitable[R | None]]
    gone: Callable[[str], ServiceError]

    async def __call__(
        self,
        caller: str,
        request_id: str,
        digest: bytes,
        prepare: Callable[[], tuple[G, Work[R]]],
        remaining: float | None,
    ) -> R:
        """The result of this call, or of an earlier one with the same claim. `remaining` is the caller's deadline in seconds from now; the
        rest is as for `begun`.

        Raises what `prepare` and the work raise, the error for what is gone, AlreadyExists, TooManyGenerations, DeadlineExceeded, Cancelled,
        Aborted and Unavailable. Whoever cancels this calls the work off, unless others wait for it, or its result has come already.
        """
        end = None if remaining is None else asyncio.get_running_loop().time() + in_time(remaining)
        for _ in range(_ATTEMPTS):
            generation_id, is_own = await self._begun(caller, request_id, digest, prepare)
            if is_own:
                return await self.generations.outcome(generation_id, end)
            result = await self.result(generation_id, request_id, end)
            if result is not None:
                return result
            # Whoever had it made has called it off, or its server died: the id is free again.
        raise Unavailable("an earlier call with this request_id is still being ended; try again")

    async def begun(
        self, caller: str, request_id: str, digest: bytes, prepare: Callable[[], tuple[G, Work[R]]]
    ) -> str:
        """The id of the generation that this call has begun and started, or of the earlier one that has its claim. Somebody has to await its
        `result`, or its outcome, before anything else.

        `prepare` judges the call, and makes the generation and its work; what it raises keeps nobody from what an earlier call has made.
        Raises that, AlreadyExists, TooManyGenerations and Unavailable.
        """
        generation_id, _ = await self._begun(caller, request_id, digest, prepare)
        return generation_id

    async def result(self, generation_id: str, request_id: str, end: float | None) -> R | None:
        """What a generation has made, wherever it runs, once that is there; None when it was ended without a result by somebody else's will.
        Waits until `end` on the loop's clock.

        Raises what failed it, the error for what is gone, DeadlineExceeded and Unavailable.
        """
        loop, pause = asyncio.get_running_loop(), _POLL_SECONDS
        while True:
            if self.generations.is_here(generation_id):
                try:
                    return await self.generations.outcome(generation_id, end)
                except (Cancelled, GenerationInterrupted):
                    return None
                except DeadlineExceeded as error:
                    # It was that of another caller unless this one's is over, too.
                    if error.reason != _LATE or (end is not None and loop.time() >= end):
                        raise
                    return None
            generation = await self.store.generation(generation_id)
            if generation is None or _was_called_off(generation):
                return None
            if generation.state is State.COMPLETED:
                result = await self.kept(generation_id)
                if result is None:
                    raise self.gone(request_id)
                return result
            if generation.state is State.FAILED:
                raise error_of(generation.failure or MASKED)
            # Another process is at it.
            if end is not None and loop.time() + pause > end:
                raise _late()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)

    async def _begun(
        self, caller: str, request_id: str, digest: bytes, prepare: Callable[[], tuple[G, Work[R]]]
    ) -> tuple[str, bool]:
        """As `begun`, and whether it is this call's own."""
        _tell(False)
        try:
            generation, work = prepare()
            begin = self.generations.begin(generation, digest)
            # However this goes on, either the generation is metered, or this call is.
            _tell(self._has_begun(begin, generation.generation_id))
            try:
                earlier = await asyncio.shield(begin)
            except (asyncio.CancelledError, Unavailable):
                self.generations.left(generation, begin)
                raise
        except ServiceError:
            # What would refuse a new call keeps nobody from what an earlier one has made.
            found = await self.store.claimed(caller, request_id, digest) if request_id else None
            if found is None:
                raise
            _tell(True)
            return found, False
        _tell(True)
        if earlier is not None:
            return earlier, False
        self.generations.start(generation, work)
        return generation.generation_id, True

    def _has_begun(self, begin: asyncio.Task[str | None], generation_id: str) -> Question:
        """Whether the generation, or that of an earlier call, is there to be metered."""

        async def answer() -> bool | None:
            if not begin.done():
                return None
            error = None if begin.cancelled() else begin.exception()
            if error is None and not begin.cancelled():
                return True
            if isinstance(error, ServiceError) and not isinstance(error, Unavailable):
                return False
            # The store may have it although it did not say so.
            return await self.store.generation(generation_id) is not None

        return answer


def check_request_id(user_id: str, request_id: str) -> None:
    """Have callers without a credential, who share one name, choose ids that nobody guesses. Raises InvalidArgument."""
    if not user_id and request_id and not is_random_uuid(request_id):
        raise InvalidArgument.field("request_id", "has to be a random UUID (version 4) without a credential")


def _was_called_off(generation: Generation) -> bool:
    """Whether it ended by somebody else's will, such as a deadline, and by nothing that this call would meet, too."""
    late = generation.failure is not None and generation.failure.reason == _LATE
    return late or generation.state in (State.CANCELLED, State.INTERRUPTED)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "your deadline is over before the result of an earlier call with this request_id is there; call again with the same one",
        metadata={"stage": "generation"},
    )


def _tell(begun: bool | Question) -> None:
    request = current_or_none()
    if request is not None:
        request.begun = begun
