"""A RecordStore in memory, for tests of what is built on the port; the contract suite holds it to the port's promises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.capabilities.metering.model import Redelivered, Unit, UsageEvent, UsageStatus, UsageSummary
from services.chat.generation.merging import assembled
from services.chat.model import Ending, Event, Generation, Lease, Message, NewGeneration, Session, State
from services.chat.ports import Flush, LeaseLost, Renewal
from services.kernel.errors import AlreadyExists, NotFound, Unavailable
from services.kernel.ids import first_id_at

_CONTEXT_BYTES = 4 * 1024**2


@dataclass
class _Kept:
    generation: Generation
    owner: Lease
    rows: dict[int, list[Event]]
    claim: tuple[str, str] | None = None
    cancel_requested: bool = False


@dataclass
class MemoryRecordStore:
    """`away` makes every call fail, as a database does that can't be reached. `usage` has the usage events that were stored."""

    away: bool = False
    usage: list[UsageEvent] = field(default_factory=list)
    appends: int = 0
    _leases: dict[str, tuple[int, float]] = field(default_factory=dict)
    _claims: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _sessions: dict[str, Session] = field(default_factory=dict)
    _messages: dict[str, list[Message]] = field(default_factory=dict)
    _watches: dict[tuple[str, str], float] = field(default_factory=dict)
    _listeners: list[asyncio.Queue[str]] = field(default_factory=list)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("the store is away")

    def _holds(self, lease: Lease) -> bool:
        return self._leases.get(lease.owner_id, (0, 0.0))[0] == lease.epoch

    async def acquire(self, owner_id: str, ttl: timedelta) -> Lease:
        self._reach()
        self._leases[owner_id] = (1, time.monotonic() + ttl.total_seconds())
        return Lease(owner_id, 1)

    async def renew(self, lease: Lease, ttl: timedelta) -> Renewal | None:
        self._reach()
        if not self._holds(lease):
            return None
        self._leases[lease.owner_id] = (lease.epoch, time.monotonic() + ttl.total_seconds())
        mine = [id_ for id_, kept in self._kept.items() if kept.owner == lease]
        to_cancel = frozenset(id_ for id_ in mine if self._kept[id_].cancel_requested)
        return Renewal(to_cancel, await self.watched(mine))

    async def running(self, lease: Lease) -> Sequence[str]:
        self._reach()
        return [
            id_
            for id_, kept in self._kept.items()
            if kept.owner == lease and kept.generation.state is State.RUNNING
        ]

    async def release(self, lease: Lease) -> None:
        self._reach()
        if self._holds(lease):
            self._leases[lease.owner_id] = (lease.epoch, 0.0)

    async def take_over(self, mine: Lease, *, sole_owner: bool, limit: int) -> Sequence[str]:
        self._reach()
        if not self._holds(mine):
            return []
        now = time.monotonic()
        for owner, (_, expiry) in list(self._leases.items()):
            if owner != mine.owner_id and (sole_owner or expiry < now):
                del self._leases[owner]
        left = [
            id_
            for id_, kept in self._kept.items()
            if kept.generation.state is State.RUNNING and kept.owner.owner_id not in self._leases
        ][:limit]
        for id_ in left:
            self._kept[id_].owner = mine
        return left

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        self._reach()
        if not self._holds(lease):
            raise LeaseLost
        generation = new.generation
        if generation.generation_id in self._kept:
            return None
        claim = (new.caller, generation.request_id) if generation.request_id else None
        if claim is not None and (holder := await self.claimed(*claim, new.digest)):
            return holder
        if (
            new.session is None
            and new.user_message is not None
            and generation.session_id not in self._sessions
        ):
            raise NotFound.of("chat.session", generation.session_id)
        if claim is not None:
            self._claims[claim] = (generation.generation_id, new.digest)
        if new.session is not None:
            self._sessions[new.session.session_id] = new.session
        opened = self._sessions.get(generation.session_id)
        if new.title and opened is not None and not opened.title:
            self._sessions[generation.session_id] = replace(opened, title=new.title)
        if new.user_message is not None:
            self._messages.setdefault(generation.session_id, []).append(new.user_message)
        self._kept[generation.generation_id] = _Kept(generation, lease, {1: [new.started]}, claim)
        return None

    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        self._reach()
        holder, theirs = self._claims.get((caller, request_id), (None, digest))
        if theirs != digest:
            raise AlreadyExists("another body", reason="REQUEST_ID_REUSED")
        return holder

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        self._reach()
        self.appends += 1
        accepted = set()
        for flush in flushes:
            kept = self._kept.get(flush.generation_id)
            if kept is None or kept.owner != lease or kept.generation.state is not State.RUNNING:
                continue
            if self._holds(lease) and kept.rows.setdefault(flush.first_seq, list(flush.events)) == list(
                flush.events
            ):
                accepted.add(flush.generation_id)
        return accepted

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        self._reach()
        kept = self._kept[generation.generation_id]
        if kept.generation.state is not State.RUNNING:
            return (kept.generation.state, kept.generation.end_time) == (ending.state, ending.end_time)
        if kept.owner != lease or not self._holds(lease):
            return False
        if ending.last_events:
            kept.rows[ending.last_events[0].first_seq] = list(ending.last_events)
        kept.generation = replace(
            kept.generation,
            state=ending.state,
            finish_reason=ending.finish_reason,
            failure=ending.failure,
            usage=ending.usage,
            reasoning=ending.reasoning,
            model=ending.model,
            provider=ending.provider,
            last_seq=ending.last_seq,
            end_time=ending.end_time,
        )
        if ending.message is not None:
            kept.generation = replace(
                kept.generation, text=ending.message.text, tool_calls=ending.message.tool_calls
            )
            self._messages.setdefault(generation.session_id, []).append(ending.message)
        if ending.free_claim and kept.claim is not None:
            del self._claims[kept.claim]
        if usage_event is not None:
            self.usage.append(usage_event)
        return True

    async def generation(self, generation_id: str) -> Generation | None:
        self._reach()
        kept = self._kept.get(generation_id)
        if kept is None:
            return None
        if kept.generation.state is not State.RUNNING:
            return kept.generation
        events = await self.events(generation_id, 0, 1_000_000)
        return replace(kept.generation, last_seq=events[-1].seq, **assembled(events))  # type: ignore[arg-type]

    async def head(self, generation_id: str) -> Generation | None:
        found = await self.generation(generation_id)
        if found is None:
            return None
        began = self._kept[generation_id].generation
        return replace(
            found, model=began.model, provider=began.provider, text="", reasoning="", tool_calls=()
        )

    async def state(self, generation_id: str) -> State | None:
        self._reach()
        kept = self._kept.get(generation_id)
        return kept.generation.state if kept else None

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        self._reach()
        kept = self._kept.get(generation_id)
        if kept is None or kept.generation.events_pruned:
            return []
        rows = [kept.rows[first] for first in sorted(kept.rows) if kept.rows[first][-1].seq > after_seq]
        return [event for row in rows[:limit] for event in row if event.seq > after_seq]

    async def request_cancel(self, generation_id: str) -> None:
        self._reach()
        self._kept[generation_id].cancel_requested = True

    async def prune(self, older_than: timedelta, limit: int) -> int:
        self._reach()
        before, count = datetime.now(UTC) - older_than, 0
        for kept in self._kept.values():
            generation = kept.generation
            if generation.end_time and generation.end_time < before and not generation.events_pruned:
                kept.generation = replace(generation, events_pruned=True)
                count += 1
        return count

    async def forget_answers(self, older_than: timedelta, limit: int) -> int:
        self._reach()
        before = datetime.now(UTC) - older_than
        old = [
            id_
            for id_, kept in self._kept.items()
            if not kept.generation.session_id
            and kept.generation.end_time
            and kept.generation.end_time < before
        ]
        for id_ in old[:limit]:
            del self._kept[id_]
        return len(old[:limit])

    async def forget_claims(self, older_than: timedelta) -> int:
        self._reach()
        return 0

    async def summarize(self, start: datetime, end: datetime, limit: int) -> Sequence[UsageSummary]:
        self._reach()
        first, last = first_id_at(start), first_id_at(end)
        sums: dict[tuple[str, str, UsageStatus], list[UsageEvent]] = {}
        for event in self.usage:
            if first <= event.event_id < last:
                sums.setdefault((event.user_id, event.model, event.status), []).append(event)
        return [
            UsageSummary(*key, len(events), _summed(events))
            for key, events in sorted(sums.items(), key=lambda item: (*item[0][:2], item[0][2].value))
        ][:limit]

    async def pending(self, start: datetime, end: datetime) -> int:
        self._reach()
        first, last = first_id_at(start), first_id_at(end)
        return sum(first <= event.event_id < last for event in self.usage)

    async def redeliver(self, start: datetime, end: datetime, after: str, limit: int) -> Redelivered:
        self._reach()
        first, last = first_id_at(start), first_id_at(end)
        ids = sorted(one.event_id for one in self.usage if first <= one.event_id < last)
        found = [event_id for event_id in ids if event_id > after][:limit]
        return Redelivered(found[-1] if found else "", 0)

    # -- who watches from elsewhere

    async def watch(self, watcher_id: str, generation_ids: Collection[str], ttl: timedelta) -> None:
        self._reach()
        for generation_id in generation_ids:
            self._watches[generation_id, watcher_id] = time.monotonic() + ttl.total_seconds()

    async def unwatch(self, watcher_id: str, generation_id: str) -> None:
        self._reach()
        self._watches.pop((generation_id, watcher_id), None)

    async def watched(self, generation_ids: Collection[str]) -> frozenset[str]:
        self._reach()
        now = time.monotonic()
        return frozenset(
            id_ for (id_, _), end in self._watches.items() if end > now and id_ in generation_ids
        )

    async def announce(self, generation_ids: Collection[str]) -> None:
        self._reach()
        for listener in self._listeners:
            for generation_id in generation_ids:
                listener.put_nowait(generation_id)

    async def growth(self) -> AsyncIterator[str]:
        self._reach()
        heard: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.append(heard)
        try:
            while True:
                yield await heard.get()
        finally:
            self._listeners.remove(heard)

    async def context(
        self, session_id: str, user_id: str, limit: int
    ) -> tuple[Session, Sequence[Message]] | None:
        self._reach()
        session = self._sessions.get(session_id)
        if session is None or session.user_id != user_id:
            return None
        messages, size = self._messages.get(session_id, [])[-limit:], 0
        for first in range(len(messages) - 1, -1, -1):
            size += len(messages[first].text.encode())
            if size > _CONTEXT_BYTES:
                return session, messages[min(first + 1, len(messages) - 1) :]
        return session, messages


def _summed(events: Sequence[UsageEvent]) -> dict[Unit, int]:
    sums = {unit: sum(event.usage.quantities.get(unit, 0) for event in events) for unit in Unit}
    return {unit: amount for unit, amount in sums.items() if amount}
