"""Synthesize: have a text spoken, or find what an earlier call with the same request_id made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.capabilities.generations.calling import RepeatableCall, check_request_id
from services.capabilities.generations.model import State
from services.capabilities.generations.running import Progress
from services.kernel.errors import ServiceError
from services.kernel.ids import new_id
from services.kernel.principal import Principal
from services.speech.generation.making import Maker, Plan
from services.speech.model import ANONYMOUS, Conversion, Generation, SpeechCall
from services.speech.usecases.ordering import Placed, PlaceOrder

Prepare = Callable[[], tuple[Generation, Callable[[Progress], Awaitable[Conversion]]]]


@dataclass(frozen=True, slots=True)
class Preparation:
    """From a call to a generation and its work."""

    order: PlaceOrder
    maker: Maker

    async def __call__(self, principal: Principal, call: SpeechCall) -> Prepare:
        """What prepares the generation of a call. What is wrong with the call is raised by that: it keeps nobody from what an earlier call has
        made."""
        check_request_id(principal.user_id, call.request_id)
        try:
            placed = await self.order(principal, call)
        except ServiceError as error:
            failure = error
            return lambda: _raise(failure)
        return lambda: self._prepared(principal, call, placed)

    def _prepared(
        self, principal: Principal, call: SpeechCall, placed: Placed
    ) -> tuple[Generation, Callable[[Progress], Awaitable[Conversion]]]:
        generation = Generation(
            generation_id=new_id(),
            user_id=principal.user_id,
            api_key_id=principal.api_key_id,
            request_id=call.request_id,
            order=placed.order,
            state=State.RUNNING,
            create_time=datetime.now(UTC),
        )
        plan = Plan(generation, placed.script, placed.model, placed.voice)
        return generation, self.maker.work(plan)


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Speaks texts."""

    prepare: Preparation
    call: RepeatableCall[Generation, Conversion]

    async def __call__(self, principal: Principal, call: SpeechCall, remaining: float | None) -> Conversion:
        """The conversion, stored. `remaining` is the caller's deadline in seconds from now.

        Raises ModelNotFound, ModelNotReady, VoiceNotFound, UnsupportedInput, InvalidArgument, AlreadyExists, ConversionDeleted, EngineBusy,
        EngineStopped, TooManyGenerations, ProviderFailure, NotStored, DeadlineExceeded, Cancelled, Aborted and Unavailable. Whoever
        cancels this calls it off, unless others wait for it, or all of the audio is there already.
        """
        prepare = await self.prepare(principal, call)
        caller = principal.user_id or ANONYMOUS
        return await self.call(caller, call.request_id, call.digest, prepare, remaining)


def _raise(error: ServiceError) -> tuple[Generation, Callable[[Progress], Awaitable[Conversion]]]:
    raise error
