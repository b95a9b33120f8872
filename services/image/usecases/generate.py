"""GenerateImage: have images made, or find those of an earlier call with the same request_id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from services.capabilities.generations.calling import RepeatableCall, check_request_id
from services.capabilities.generations.model import State
from services.capabilities.generations.running import Generations, Work
from services.image.errors import ImagesDeleted
from services.image.generation.working import MakeImages
from services.image.model import ANONYMOUS, Generation, Image, ImageCall
from services.image.ports import ImageStore
from services.image.usecases.ordering import PlaceOrder
from services.kernel.ids import new_id
from services.kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class GenerateImage:
    """Makes images."""

    store: ImageStore
    order: PlaceOrder
    generations: Generations[Generation, Sequence[Image]]
    make: MakeImages

    async def __call__(
        self, principal: Principal, call: ImageCall, remaining: float | None
    ) -> Sequence[Image]:
        """The images, stored. `remaining` is the caller's deadline in seconds from now.

        Raises ModelNotFound, ModelNotReady, UnsupportedInput, InvalidArgument, AlreadyExists, ImagesDeleted, TooManyGenerations,
        ProviderFailure, NotStored, DeadlineExceeded, Cancelled, Aborted and Unavailable. Whoever cancels this calls the images off,
        unless others wait for them, or they have come already.
        """
        check_request_id(principal.user_id, call.request_id)
        made = RepeatableCall(self.store, self.generations, self._kept, ImagesDeleted)
        caller, prepare = principal.user_id or ANONYMOUS, partial(self._prepared, principal, call)
        return await made(caller, call.request_id, call.digest, prepare, remaining)

    def _prepared(self, principal: Principal, call: ImageCall) -> tuple[Generation, Work[Sequence[Image]]]:
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
        return generation, partial(self.make, generation, model)

    async def _kept(self, generation_id: str) -> Sequence[Image] | None:
        return await self.store.images_of(generation_id) or None
