"""GenerateImage: have images made, or find those of an earlier call with the same request_id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.image.errors import GenerationInterrupted, ImagesDeleted
from services.image.generation.generations import Generations, in_time
from services.image.model import ANONYMOUS, Generation, Image, ImageCall, State
from services.image.ports import ImageStore
from services.image.usecases.ordering import PlaceOrder
from services.kernel.errors import Cancelled, DeadlineExceeded, InvalidArgument, ServiceError, Unavailable
from services.kernel.failures import MASKED, error_of
from services.kernel.ids import is_random_uuid, new_id
from services.kernel.metering import Question
from services.kernel.principal import Principal
from services.kernel.request import current_or_none

_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 2.0
_ATTEMPTS = 3
_LATE = "DEADLINE_EXCEEDED"


@dataclass(frozen=True, slots=True)
class GenerateImage:
    """Makes images."""

    store: ImageStore
    order: PlaceOrder
    generations: Generations

    async def __call__(
        self, principal: Principal, call: ImageCall, remaining: float | None
    ) -> Sequence[Image]:
        """The images, stored. `remaining` is the caller's deadline in seconds from now.

        Raises ModelNotFound, ModelNotReady, UnsupportedInput, InvalidArgument, AlreadyExists, ImagesDeleted, TooManyGenerations,
        ProviderFailure, NotStored, DeadlineExceeded, Cancelled, Aborted and Unavailable. Whoever cancels this calls the images off,
        unless others wait for them, or they have come already.
        """
        _check_caller(principal, call)
        end = None if remaining is None else asyncio.get_running_loop().time() + in_time(remaining)
        for _ in range(_ATTEMPTS):
            earlier = await self._begun(principal, call)
            if isinstance(earlier, Generation):
                return await self.generations.outcome(earlier.generation_id, end)
            images = await self._found(earlier, call, end)
            if images is not None:
                return images
            # Whoever had it made has called it off, or its server died: the id is free again.
        raise Unavailable("an earlier call with this request_id is still being ended; try again")

    async def _begun(self, principal: Principal, call: ImageCall) -> Generation | str:
        """The generation that this call has begun, or the id of the one that an earlier call has."""
        _tell(False)
        try:
            order, model = self.order(principal, call)
            generation = Generation(
                generation_id=new_id(),
                image_ids=tuple(new_id() for _ in range(order.count)),
                user_id=principal.user_id,
                api_key_id=principal.api_key_id,
                request_id=call.request_id,
                order=order,
                state=State.RUNNING,
                create_time=datetime.now(UTC),
            )
            begin = self.generations.begin(generation, call.digest)
            # However this goes on, either the generation is metered, or this call is.
            _tell(self._has_begun(begin, generation.generation_id))
            try:
                earlier = await asyncio.shield(begin)
            except (asyncio.CancelledError, Unavailable):
                self.generations.left(generation, begin)
                raise
        except ServiceError:
            # What would refuse a new call keeps nobody from the images of an earlier one.
            found = await self._claimed(principal, call)
            if found is None:
                raise
            _tell(True)
            return found
        _tell(True)
        if earlier is not None:
            return earlier
        self.generations.start(generation, model)
        return generation

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

    async def _claimed(self, principal: Principal, call: ImageCall) -> str | None:
        if not call.request_id:
            return None
        return await self.store.claimed(principal.user_id or ANONYMOUS, call.request_id, call.digest)

    async def _found(self, generation_id: str, call: ImageCall, end: float | None) -> Sequence[Image] | None:
        """The images of an earlier call, once they are there; None when it was ended without any by somebody else's will."""
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
                images = await self.store.images_of(generation_id)
                if not images:
                    raise ImagesDeleted(call.request_id)
                return images
            if generation.state is State.FAILED:
                raise error_of(generation.failure or MASKED)
            # Another process is at it.
            if end is not None and loop.time() + pause > end:
                raise _late()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def _was_called_off(generation: Generation) -> bool:
    """Whether it ended by somebody else's will, such as a deadline, and by nothing that this call would meet, too."""
    late = generation.failure is not None and generation.failure.reason == _LATE
    return late or generation.state in (State.CANCELLED, State.INTERRUPTED)


def _check_caller(principal: Principal, call: ImageCall) -> None:
    if not principal.user_id and call.request_id and not is_random_uuid(call.request_id):
        raise InvalidArgument.field("request_id", "has to be a random UUID (version 4) without a credential")


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "your deadline is over before the images are made, which an earlier call asked for; call again with the same request_id",
        metadata={"stage": "generation"},
    )


def _tell(begun: bool | Question) -> None:
    request = current_or_none()
    if request is not None:
        request.begun = begun
