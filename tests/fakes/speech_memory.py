"""A ConversionStore in memory, for tests of what is built on the port; the contract suite holds it to the port's promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from services.capabilities.generations.model import State
from services.capabilities.metering.model import Redelivered, Unit, UsageEvent, UsageStatus, UsageSummary
from services.kernel.errors import AlreadyExists, Unavailable
from services.kernel.failures import Failure
from services.kernel.ids import first_id_at
from services.kernel.paging import Page, PageRequest
from services.speech.model import Conversion, Generation, Removal, Used

P = ParamSpec("P")
T = TypeVar("T")
_Method = Callable[Concatenate["MemoryConversionStore", P], Coroutine[Any, Any, T]]

_PAGE_BYTES = 3 * 1024**2


def _reached(method: _Method[P, T]) -> _Method[P, T]:
    """The method, counted, and failing where the test said so."""
    name = getattr(method, "__name__", "")

    async def call(self: MemoryConversionStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls[name] += 1
        lost = self._faults[name].pop(0) if self._faults.get(name) else None
        if self.away or lost is False:
            raise Unavailable("the database is away", retry_after=0.0)
        result = await method(self, *args, **kwargs)
        if lost:
            raise Unavailable("the database's answer was lost", retry_after=0.0)
        return result

    return call


@dataclass
class _Kept:
    generation: Generation
    owner_id: str
    expires: datetime
    event: UsageEvent | None = None


@dataclass
class _Due:
    removal: Removal
    at: datetime
    taken: bool = False
    repeating: bool = False


@dataclass
class MemoryConversionStore:
    """Time stands still until a test moves it by `advance`. `events` has the usage events that were stored, `waiting` the ids of those in the outbox,
    `calls` how often each method was called. `away` makes every call fail, as a database does that can't be reached."""

    away: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    events: list[UsageEvent] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    conversions: dict[str, Conversion] = field(default_factory=dict)
    _removals: dict[str, _Due] = field(default_factory=dict)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _claims: dict[tuple[str, str], tuple[str, bytes, datetime]] = field(default_factory=dict)
    _faults: dict[str, list[bool]] = field(default_factory=dict)

    @property
    def removals(self) -> dict[str, Removal]:
        """All that are kept, due or not, by conversion."""
        return {id_: due.removal for id_, due in self._removals.items()}

    def advance(self, time: timedelta) -> None:
        """So much time goes by."""
        self.now += time

    def fail_next(self, method: str, times: int = 1, *, lost: bool = False) -> None:
        """The next calls of this method raise Unavailable; with `lost` they do what they do first."""
        self._faults.setdefault(method, []).extend([lost] * times)

    # -- generations

    @_reached
    async def begin(self, owner_id: str, ttl: timedelta, generation: Generation, digest: bytes) -> str | None:
        if generation.request_id:
            claim = (generation.caller, generation.request_id)
            earlier = self._holder(*claim, digest)
            if earlier not in (None, generation.generation_id):
                return earlier
            self._claims.setdefault(claim, (generation.generation_id, digest, self.now))
        self._kept.setdefault(generation.generation_id, _Kept(generation, owner_id, self.now + ttl))
        return None

    @_reached
    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        return self._holder(caller, request_id, digest)

    def _holder(self, caller: str, request_id: str, digest: bytes) -> str | None:
        holder, theirs, _ = self._claims.get((caller, request_id), (None, digest, self.now))
        if theirs != digest:
            raise AlreadyExists(
                "another body", reason="REQUEST_ID_REUSED", metadata={"request_id": request_id}
            )
        return holder

    @_reached
    async def generation(self, generation_id: str) -> Generation | None:
        kept = self._kept.get(generation_id)
        return kept.generation if kept else None

    @_reached
    async def renew(self, owner_id: str, ttl: timedelta, generation_ids: Collection[str]) -> None:
        for generation_id, kept in self._kept.items():
            if kept.owner_id == owner_id and generation_id in generation_ids:
                kept.expires = self.now + ttl

    @_reached
    async def complete(self, conversion: Conversion, used: Used, event: UsageEvent | None) -> bool:
        ended = self._end(conversion.conversion_id, State.COMPLETED, None, event)
        if ended is not None:
            return ended
        self.conversions[conversion.conversion_id] = conversion
        return True

    @_reached
    async def end(
        self,
        generation_id: str,
        state: State,
        failure: Failure | None,
        used: Used,
        event: UsageEvent | None,
        *,
        free: bool,
        remove: bool,
        again: int = 0,
        silent: bool = False,
    ) -> bool:
        kept = self._kept.get(generation_id)
        if silent and kept and kept.generation.state is State.RUNNING and kept.expires > self.now:
            return False
        ended = self._end(generation_id, state, failure, event)
        if ended is not None:
            return ended
        generation = self._kept[generation_id].generation
        claim = (generation.caller, generation.request_id)
        if free and self._claims.get(claim, ("",))[0] == generation_id:
            del self._claims[claim]
        if remove:
            self._discard(generation, again)
        return True

    @_reached
    async def discard(self, generation_id: str, again: int) -> None:
        kept = self._kept.get(generation_id)
        if kept is not None and kept.generation.state is not State.RUNNING:
            self._discard(kept.generation, again)

    def _discard(self, generation: Generation, again: int) -> None:
        if generation.generation_id not in self.conversions:
            day = generation.create_time.astimezone(UTC).date()
            self._remove(generation.generation_id, day, again)

    def _end(
        self, generation_id: str, state: State, failure: Failure | None, event: UsageEvent | None
    ) -> bool | None:
        """None when this ended it; otherwise whether it had ended just so."""
        kept = self._kept.get(generation_id)
        if kept is None:
            return False
        if kept.generation.state is not State.RUNNING:
            ids = [one and one.event_id for one in (kept.event, event)]
            return kept.generation.state is state and ids[0] == ids[1]
        end = self.now if event is None else event.start_time + event.latency
        kept.generation = replace(kept.generation, state=state, failure=failure, end_time=end)
        kept.event = event
        if event is not None:
            self.events.append(event)
            self.waiting.add(event.event_id)
        return None

    @_reached
    async def silent(self, limit: int, *, but: str = "") -> Sequence[Generation]:
        return [
            kept.generation
            for _, kept in sorted(self._kept.items())
            if kept.generation.state is State.RUNNING
            and (kept.owner_id != but if but else kept.expires <= self.now)
        ][:limit]

    # -- conversions

    @_reached
    async def conversion(self, conversion_id: str) -> Conversion | None:
        return self.conversions.get(conversion_id)

    @_reached
    async def page(self, user_id: str | None, request: PageRequest) -> Page[Conversion]:
        every = sorted(
            (one for one in self.conversions.values() if user_id in (None, one.user_id)),
            key=lambda one: one.conversion_id,
            reverse=True,
        )
        later = [one for one in every if request.after is None or one.conversion_id < request.after]
        found: list[Conversion] = []
        room = _PAGE_BYTES
        for one in later[request.skip :][: request.size]:
            room -= len(one.text.encode()) + len(one.ssml.encode())
            if found and room < 0:
                break
            found.append(one)
        more = len(later) - request.skip > len(found)
        return Page(found, found[-1].conversion_id if found and more else None, len(every))

    @_reached
    async def delete(self, conversion_id: str, user_id: str | None) -> bool:
        conversion = self.conversions.get(conversion_id)
        if conversion is None or user_id not in (None, conversion.user_id):
            return False
        self._delete(conversion)
        return True

    def _delete(self, conversion: Conversion) -> None:
        del self.conversions[conversion.conversion_id]
        self._remove(conversion.conversion_id, conversion.day)

    @_reached
    async def expire(self, before: datetime, limit: int) -> int:
        old = [one for one in self.conversions.values() if not one.user_id and one.create_time < before][
            :limit
        ]
        for conversion in old:
            self._delete(conversion)
        return len(old)

    @_reached
    async def prune(self, generations_before: datetime, claims_older: timedelta, limit: int) -> int:
        generations = [
            id_
            for id_, kept in self._kept.items()
            if kept.generation.state is not State.RUNNING
            and kept.generation.create_time < generations_before
            and id_ not in self.conversions
        ][:limit]
        for id_ in generations:
            del self._kept[id_]
        claims = [key for key, (_, _, made) in self._claims.items() if made < self.now - claims_older]
        for key in claims:
            del self._claims[key]
        return len(generations) + len(claims)

    # -- removals

    def _remove(self, conversion_id: str, day: date, again: int = 0) -> None:
        there = self._removals.get(conversion_id)
        again = max(again, there.removal.again if there else 0)
        self._removals[conversion_id] = _Due(Removal(conversion_id, day, again), self.now)

    @_reached
    async def due(self, pause: timedelta, limit: int) -> Sequence[Removal]:
        oldest = sorted(
            (due for due in self._removals.values() if due.at <= self.now),
            key=lambda due: (due.at, due.removal.conversion_id),
        )[:limit]
        for due in oldest:
            due.at, due.taken = self.now + pause, True
        return [due.removal for due in oldest]

    @_reached
    async def removed(self, removals: Sequence[Removal], repeat: timedelta) -> None:
        for removal in removals:
            due = self._removals.get(removal.conversion_id)
            if due is None or not due.taken or due.removal.again != removal.again:
                continue
            if removal.again:
                fewer = replace(removal, again=removal.again - 1)
                self._removals[removal.conversion_id] = _Due(fewer, self.now + repeat, repeating=True)
            else:
                del self._removals[removal.conversion_id]

    @_reached
    async def unremoved(self) -> int:
        return sum(not due.repeating for due in self._removals.values())

    # -- the books

    def _told(self, start: datetime, end: datetime) -> list[UsageEvent]:
        first, last = first_id_at(start), first_id_at(end)
        told = [kept.event for kept in self._kept.values() if kept.event is not None]
        return sorted(
            (event for event in told if first <= event.event_id < last), key=lambda event: event.event_id
        )

    @_reached
    async def summarize(self, start: datetime, end: datetime, limit: int) -> Sequence[UsageSummary]:
        sums: dict[tuple[str, str, int], list[UsageEvent]] = {}
        for event in self._told(start, end):
            sums.setdefault((event.user_id, event.model, event.status.value), []).append(event)
        return [
            UsageSummary(user_id, model, UsageStatus(status), len(events), _added(events))
            for (user_id, model, status), events in sorted(sums.items())
        ][:limit]

    @_reached
    async def pending(self, start: datetime, end: datetime) -> int:
        return sum(event.event_id in self.waiting for event in self._told(start, end))

    @_reached
    async def redeliver(self, start: datetime, end: datetime, after: str, limit: int) -> Redelivered:
        ids = [event.event_id for event in self._told(start, end) if event.event_id > after][:limit]
        new = set(ids) - self.waiting
        self.waiting |= new
        return Redelivered(ids[-1] if ids else "", len(new))


def _added(events: Sequence[UsageEvent]) -> dict[Unit, int]:
    amounts: Counter[Unit] = Counter()
    for event in events:
        amounts.update(event.usage.quantities)
    return dict(amounts)
