"""An ImageStore in memory, for tests of what is built on the port; the contract suite holds it to the port's promises."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from services.capabilities.generations.model import State
from services.capabilities.metering.model import Redelivered, Unit, UsageEvent, UsageStatus, UsageSummary
from services.image.model import Change, Filing, Generation, Image, group_of
from services.kernel.errors import AlreadyExists, Unavailable
from services.kernel.failures import Failure
from services.kernel.ids import first_id_at
from services.kernel.paging import Page, PageRequest

P = ParamSpec("P")
T = TypeVar("T")
_Method = Callable[Concatenate["MemoryImageStore", P], Coroutine[Any, Any, T]]


def _reached(method: _Method[P, T]) -> _Method[P, T]:
    """The method, counted, and failing where the test said so."""
    name = getattr(method, "__name__", "")

    async def call(self: MemoryImageStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
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
class MemoryImageStore:
    """Time stands still until a test moves it by `advance`. `events` has the usage events that were stored, `waiting` the ids of those in the outbox,
    `calls` how often each method was called. `away` makes every call fail, as a database does that can't be reached."""

    away: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    events: list[UsageEvent] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    images: dict[str, Image] = field(default_factory=dict)
    filings: dict[str, Filing] = field(default_factory=dict)
    _due: dict[str, datetime] = field(default_factory=dict)
    _leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _claims: dict[tuple[str, str], tuple[str, bytes, datetime]] = field(default_factory=dict)
    _faults: dict[str, list[bool]] = field(default_factory=dict)
    _revisions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

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
        wordless = replace(generation.order, prompt="", negative_prompt="")
        kept = replace(generation, order=wordless)
        self._kept.setdefault(generation.generation_id, _Kept(kept, owner_id, self.now + ttl))
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
    async def complete(self, generation_id: str, images: Sequence[Image], event: UsageEvent | None) -> bool:
        ended = self._end(generation_id, State.COMPLETED, None, event)
        if ended is not None:
            return ended
        for image in images:
            self.images[image.image_id] = image
            self._file(image.image_id, image.user_id, image.create_time, Change.ADD)
        return True

    @_reached
    async def end(
        self,
        generation_id: str,
        state: State,
        failure: Failure | None,
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
        for image_id in sorted(set(generation.image_ids) - self.images.keys()):
            self._file(image_id, "", generation.create_time, Change.DISCARD, again)

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

    # -- images

    @_reached
    async def image(self, image_id: str) -> Image | None:
        return self.images.get(image_id)

    @_reached
    async def images_of(self, generation_id: str) -> Sequence[Image]:
        found = [image for image in self.images.values() if image.generation_id == generation_id]
        return sorted(found, key=lambda image: image.index)

    @_reached
    async def page(self, user_id: str | None, request: PageRequest) -> Page[Image]:
        all_ids = sorted(
            (id_ for id_, image in self.images.items() if user_id in (None, image.user_id)), reverse=True
        )
        later = [id_ for id_ in all_ids if request.after is None or id_ < request.after][request.skip :]
        ids = later[: request.size]
        after = ids[-1] if len(later) > len(ids) else None
        return Page([self.images[id_] for id_ in ids], after, len(all_ids))

    @_reached
    async def delete(self, image_id: str, user_id: str | None) -> bool:
        image = self.images.get(image_id)
        if image is None or user_id not in (None, image.user_id):
            return False
        self._delete(image)
        return True

    def _delete(self, image: Image) -> None:
        del self.images[image.image_id]
        self._file(image.image_id, image.user_id, image.create_time, Change.REMOVE)

    @_reached
    async def forget(self, image_ids: Collection[str]) -> int:
        gone = set(image_ids) & self.images.keys() - self.filings.keys()
        for image_id in gone:
            del self.images[image_id]
        return len(gone)

    @_reached
    async def restore(self, images: Sequence[Image]) -> int:
        missing = {
            image.image_id: image
            for image in images
            if image.image_id not in self.images and not self._to_remove(image.image_id)
        }
        self.images.update(missing)
        return len(missing)

    @_reached
    async def expire(self, before: datetime, limit: int) -> int:
        old = [image for image in self.images.values() if not image.user_id and image.create_time < before][
            :limit
        ]
        for image in old:
            self._delete(image)
        return len(old)

    @_reached
    async def prune(self, generations_before: datetime, claims_older: timedelta, limit: int) -> int:
        with_images = {image.generation_id for image in self.images.values()}
        generations = [
            id_
            for id_, kept in self._kept.items()
            if kept.generation.state is not State.RUNNING
            and kept.generation.create_time < generations_before
            and id_ not in with_images
        ][:limit]
        for id_ in generations:
            del self._kept[id_]
        claims = [key for key, (_, _, made) in self._claims.items() if made < self.now - claims_older]
        for key in claims:
            del self._claims[key]
        return len(generations) + len(claims)

    # -- filing

    def _file(
        self, image_id: str, user_id: str, create_time: datetime, change: Change, again: int = 0
    ) -> None:
        day = create_time.astimezone(UTC).date()
        there = self.filings.get(image_id)
        filing = Filing(image_id, group_of(image_id, user_id, day), user_id, day, change, 0)
        if there is not None and change is Change.DISCARD:
            filing = there
        self._set(replace(filing, attempts=0, again=max(again, there.again if there else 0)))

    def _to_remove(self, image_id: str) -> bool:
        there = self.filings.get(image_id)
        return there is not None and there.change is Change.REMOVE

    def _set(self, filing: Filing, due: timedelta = timedelta()) -> None:
        """Another revision of it is to be filed after this time."""
        self.filings[filing.image_id] = replace(filing, revision=next(self._revisions))
        self._due[filing.image_id] = self.now + due

    @_reached
    async def take(
        self, lease_id: str, ttl: timedelta, group: str = "", limit: int = 500
    ) -> Sequence[Filing]:
        held = {key for key, (_, expires) in self._leases.items() if expires > self.now}
        ids = sorted(self.filings, key=lambda id_: (self._due[id_], id_))
        taken = [
            replace(filing, image=self.images.get(id_) if filing.change is Change.ADD else None)
            for id_ in ids
            if (filing := self.filings[id_]).group not in held
            and (filing.group == group if group else self._due[id_] <= self.now)
        ][:limit]
        for filing in taken:
            self._leases[filing.group] = (lease_id, self.now + ttl)
        return taken

    @_reached
    async def waits(self, group: str) -> bool:
        return any(filing.group == group for filing in self.filings.values())

    @_reached
    async def filed(self, done: Sequence[Filing], repeat: timedelta) -> None:
        for filing in done:
            there = self.filings.get(filing.image_id)
            if there is not None and there.revision == filing.revision:
                if there.again:
                    self._set(replace(there, again=there.again - 1, attempts=0), repeat)
                else:
                    del self.filings[filing.image_id], self._due[filing.image_id]
            elif filing.change is Change.ADD and filing.image_id not in self.images:
                # Whoever removed it may have done so before this was added.
                there = there or replace(filing, image=None)
                self._set(replace(there, change=Change.REMOVE, attempts=0))

    @_reached
    async def failed(self, filings: Sequence[Filing], pause: timedelta) -> None:
        for filing in filings:
            there = self.filings.get(filing.image_id)
            if there is not None and there.revision == filing.revision:
                self.filings[filing.image_id] = replace(there, attempts=there.attempts + 1)
                self._due[filing.image_id] = self.now + pause

    @_reached
    async def leave(self, lease_id: str, groups: Sequence[str]) -> None:
        for group in groups:
            if self._leases.get(group, ("",))[0] == lease_id:
                del self._leases[group]

    @_reached
    async def unfiled(self) -> int:
        return sum(self._due[id_] <= self.now or one.attempts > 0 for id_, one in self.filings.items())

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
            UsageSummary(user_id, model, UsageStatus(status), len(events), _images(events))
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


def _images(events: Sequence[UsageEvent]) -> dict[Unit, int]:
    amount = sum(event.usage.quantities.get(Unit.IMAGES, 0) for event in events)
    return {Unit.IMAGES: amount} if amount else {}
