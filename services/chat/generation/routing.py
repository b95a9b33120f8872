"""How one answer finds its model: the asked one, again where that may help, then its fallbacks; within the time that there is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog

from services.capabilities.upstream.errors import (
    ProviderFailure,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.chat.generation.breaker import Breakers, EndpointLeftAlone, Permit
from services.chat.generation.live import LiveGeneration
from services.chat.generation.metrics import ChatMetrics
from services.chat.generation.turns import Turn
from services.chat.model import Delta, Fallback
from services.chat.ports import CatalogModel, Done, ModelCall
from services.kernel.errors import DeadlineExceeded, ServiceError

log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
# A pause that the provider asks for is waited for up to this long, and less when another model could answer meanwhile.
_LONGEST_ASKED_SECONDS = 5.0
_LONGEST_ASKED_WITH_FALLBACK_SECONDS = 2.0
# No model answers in less; what can't end in time is not started.
_SHORTEST_ATTEMPT_SECONDS = 0.05
# The part of the time left that a model may be silent for while another one could answer in the rest.
_SHARE = 0.5
# Who was waited for less than this, or less than this part of its own time for a first token, had no fair chance to answer.
_FAIR_SECONDS = 1.0
_FAIR_PART = 0.05
# Statuses by which a provider finds fault with the request itself, which no other model would cure.
_CALLERS_FAULT = frozenset({"400", "413", "414", "422", "431"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer, what it is asked, and an estimate of the tokens that it would read."""

    model: CatalogModel
    call: ModelCall
    input_tokens: int


class Failed(NamedTuple):
    """A model that did not answer, and why."""

    model: str
    error: ProviderFailure


@dataclass(frozen=True, slots=True)
class Routing:
    """Asks models: each up to `retries` times again. An answer may take `total_timeout` seconds with all of that, unless the catalog says
    otherwise of the model that answers."""

    total_timeout: float
    retries: int
    breakers: Breakers
    metrics: ChatMetrics

    async def answer(
        self,
        live: LiveGeneration,
        chain: Iterator[Candidate],
        deadline: float | None,
        deliver: Callable[[Sequence[Delta]], None],
        changed: Callable[[], None],
    ) -> Done:
        """Have the first of `chain` that can answer do so, and hand its groups of deltas to `deliver`.

        `deadline` is the caller's, in the loop's time. A model that is silent for half of the time that is left gives way to the next,
        if that may be asked. When another model takes over, it is put on the record of `live`, and `changed` is called. Nothing is
        asked again behind the first token. Raises DeadlineExceeded, ProviderTimeout and what the last model failed with; `stage` and
        `attempts` in the metadata tell more.
        """
        limit = asyncio.timeout(None)
        route = _Route(self, live, _Chain(chain), deliver, changed, deadline, limit)
        try:
            async with limit:
                return await route.run()
        except TimeoutError:
            if not limit.expired():
                raise
            raise route.out_of_time() from None


class _Chain:
    """The candidates, each made when it is needed, and whether there is another one."""

    def __init__(self, candidates: Iterator[Candidate]) -> None:
        self._candidates = candidates
        self._ahead: Candidate | None = None

    def next(self) -> Candidate | None:
        found, self._ahead = self._ahead or next(self._candidates, None), None
        return found

    def ahead(self) -> Candidate | None:
        self._ahead = self._ahead or next(self._candidates, None)
        return self._ahead


class _Route:
    """One answer on its way. `stage` says what is waited for, `failures` which models did not answer."""

    def __init__(
        self,
        routing: Routing,
        live: LiveGeneration,
        chain: _Chain,
        deliver: Callable[[Sequence[Delta]], None],
        changed: Callable[[], None],
        deadline: float | None,
        limit: asyncio.Timeout,
    ) -> None:
        self._routing = routing
        self._live = live
        self._chain = chain
        self._deliver = deliver
        self._changed = changed
        self._deadline = deadline
        self._limit = limit
        self._start = self._end = self._turn_end = asyncio.get_running_loop().time()
        self._stage = "connect"
        self._began = False
        self._failures: list[Failed] = []

    async def run(self) -> Done:
        """Go through the chain."""
        candidate = self._chain.next()
        if candidate is not None:
            self._bound(candidate.model)
        while candidate is not None:
            try:
                return await self._tried(candidate)
            except ProviderFailure as error:
                if self._began or not _may_fall_back(error):
                    raise
                self._failures.append(Failed(candidate.model.name, error))
            candidate = self._chain.next() if self._left() > _SHORTEST_ATTEMPT_SECONDS else None
        raise self._last_failure()

    def out_of_time(self) -> ServiceError:
        """The failure when the time is over: the caller's, or that of the answer."""
        generation = self._live.generation
        metadata = {"model": generation.model, "provider": generation.provider, **self._attempts()}
        if self._end == self._deadline:
            return DeadlineExceeded(
                f"your deadline was over before the answer was ({self._stage.replace('_', ' ')}); allow more time",
                metadata={**metadata, "stage": self._stage},
            )
        return ProviderTimeout(
            "the model did not finish its answer in time", metadata={**metadata, "stage": "total"}
        )

    # -- one model

    async def _tried(self, candidate: Candidate) -> Done:
        """Ask a model, and again as long as that may help. Raises what it failed with last."""
        errors: list[ProviderFailure] = []
        while True:
            try:
                permit = self._routing.breakers.ask(candidate.model)
            except EndpointLeftAlone as error:
                # What the model itself failed with says more than that it is left alone since then.
                raise (errors[-1] if errors else error) from None
            except ProviderFailure as error:
                errors.append(error)
            else:
                try:
                    self._take_over(candidate)
                    return await self._asked(candidate, permit)
                except ProviderFailure as error:
                    errors.append(error)
                    self._log_failure(candidate.model, error, len(errors))
            pause = self._pause(errors)
            if pause is None:
                raise errors[-1]
            self._stage = "retry"
            await asyncio.sleep(pause)

    async def _asked(self, candidate: Candidate, permit: Permit) -> Done:
        self._stage = "connect"
        outcome = "cancelled"
        turn = Turn(self._turn_end, self._may_give_way)
        try:
            call = replace(candidate.call, connected=self._connected)
            async with turn, aclosing(candidate.model.provider.stream(call)) as stream:  # type: ignore[type-var]
                async for item in stream:
                    if isinstance(item, Done):
                        permit.succeeded()
                        outcome = "answered"
                        self._log_answer(candidate.model, item)
                        return item
                    if not item:
                        continue
                    if not self._began:
                        self._began = True
                        self._stage = "between_tokens"
                        turn.keep()
                        permit.began()
                    self._deliver(item)
            raise RuntimeError("the provider ended without Done")
        except ServiceError as error:
            outcome = error.reason
            if isinstance(error, ProviderFailure):
                self._judge(candidate.model, permit, error)
            raise
        except asyncio.CancelledError:
            if self._limit.expired() and not self._began:
                outcome = "timeout"
                permit.gave_up(_fair_seconds(candidate.model))
            raise
        except Exception as error:
            if turn.is_over and isinstance(error, TimeoutError):
                outcome = ProviderTimeout.reason
                permit.gave_up(_fair_seconds(candidate.model))
                raise self._gave_way(candidate.model) from None
            outcome = ServiceError.reason
            raise
        finally:
            permit.release()
            self._routing.metrics.attempted(candidate.model.name, outcome)

    def _connected(self) -> None:
        if not self._began:
            self._stage = "first_token"

    def _may_give_way(self) -> bool:
        if self._began:
            return False
        ahead = self._chain.ahead()
        return ahead is not None and not self._routing.breakers.leaves_alone(ahead.model)

    def _gave_way(self, model: CatalogModel) -> ProviderTimeout:
        """The failure of a model that was silent for so long that the next one is asked."""
        return ProviderTimeout(
            "the model was silent for so long that another one was asked",
            metadata={"model": model.name, "provider": model.provider_name, "stage": self._stage},
        )

    def _judge(self, model: CatalogModel, permit: Permit, error: ProviderFailure) -> None:
        if isinstance(error, ProviderUnavailable | ProviderProtocol | ProviderTimeout):
            permit.failed()
        else:
            # Whoever refuses is there.
            permit.succeeded()
        self._routing.breakers.pause(model, error)

    def _pause(self, errors: Sequence[ProviderFailure]) -> float | None:
        """In how many seconds the model is asked again; None when it is not."""
        error = errors[-1]
        if self._began or len(errors) > self._routing.retries or not _may_be_cured(errors):
            return None
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** (len(errors) - 1), _LONGEST_PAUSE_SECONDS)
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - it spreads calls, and keeps no secret.
        if error.asked_pause is not None:
            if error.asked_pause > _LONGEST_ASKED_WITH_FALLBACK_SECONDS and self._chain.ahead():
                return None
            if error.asked_pause > _LONGEST_ASKED_SECONDS:
                return None
            pause += error.asked_pause
        needed = pause + _SHORTEST_ATTEMPT_SECONDS
        if self._left() <= needed:
            return None
        turn_left = self._turn_end - asyncio.get_running_loop().time()
        return None if turn_left <= needed and self._may_give_way() else pause

    # -- the chain

    def _take_over(self, candidate: Candidate) -> None:
        """Put on record that another model answers, unless it is the one that is asked already."""
        live, model = self._live, candidate.model
        live.family = model.family
        failed = live.generation.model
        if model.name == failed:
            return
        self._bound(model)
        reason = next(one.error.reason for one in reversed(self._failures) if one.model == failed)
        live.fall_back(Fallback(model.name, model.provider_name, failed, reason))
        live.generation = replace(live.generation, input_tokens_estimate=candidate.input_tokens)
        self._changed()
        self._routing.metrics.fell_back(failed, model.name, reason)

    def _bound(self, model: CatalogModel) -> None:
        """Let the answer take as long as the model may, and no longer than the caller waits."""
        end = self._start + (model.total_timeout or self._routing.total_timeout)
        self._end = end if self._deadline is None else min(end, self._deadline)
        self._limit.reschedule(self._end)
        self._turn_end = self._end - self._left() * (1 - _SHARE)

    def _last_failure(self) -> ProviderFailure:
        error = self._failures[-1].error
        if len(self._failures) > 1:
            error.metadata = {**error.metadata, **self._attempts()}
            waits = [one.error.retry_after for one in self._failures if one.error.retry_after is not None]
            error.retry_after = min(waits, default=None)
        return error

    def _attempts(self) -> dict[str, str]:
        if not self._failures:
            return {}
        told = "; ".join(f"{one.model}: {one.error.reason}" for one in self._failures)
        return {"attempts": told, "requested_model": self._failures[0].model}

    def _left(self) -> float:
        return self._end - asyncio.get_running_loop().time()

    def _log_answer(self, model: CatalogModel, done: Done) -> None:
        # What is built in has no endpoint, and nobody to ask about an answer.
        if model.endpoint:
            log.info(
                "a model answered",
                generation_id=self._live.generation_id,
                model=model.name,
                provider=model.provider_name,
                upstream_request_id=done.upstream_request_id,
            )

    def _log_failure(self, model: CatalogModel, error: ProviderFailure, attempt: int) -> None:
        about = {
            **error.metadata,
            "generation_id": self._live.generation_id,
            "model": model.name,
            "provider": model.provider_name,
            "reason": error.reason,
            "attempt": attempt,
            "began": self._began,
            "provider_code": error.provider_code,
            "said": error.loggable,
            "upstream_request_id": error.upstream_request_id,
        }
        log.warning("a model failed", **about)


def _may_be_cured(errors: Sequence[ProviderFailure]) -> bool:
    """Whether asking again may help, after these failures of a model."""
    error = errors[-1]
    if isinstance(error, ProviderTimeout):
        early = error.metadata.get("stage") in ("connect", "first_token")
        return early and sum(isinstance(one, ProviderTimeout) for one in errors) == 1
    return isinstance(error, ProviderUnavailable | ProviderProtocol | ProviderRateLimited)


def _fair_seconds(model: CatalogModel) -> float:
    """How long a model has to be waited for before its silence tells something about it."""
    return max(_FAIR_SECONDS, _FAIR_PART * (model.first_token_timeout or 0.0))


def _may_fall_back(error: ProviderFailure) -> bool:
    """Whether another model may do what this one did not."""
    if isinstance(error, ProviderRefused):
        return error.metadata.get("http_status") not in _CALLERS_FAULT
    return True
