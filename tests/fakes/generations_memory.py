"""A service that makes words, over a store in memory: what the capability `generations` needs, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from services.capabilities.generations.calling import RepeatableCall
from services.capabilities.generations.ends import Ends
from services.capabilities.generations.model import End, State
from services.capabilities.generations.running import Generations, Progress, Work
from services.kernel.errors import AlreadyExists, NotFound
from services.kernel.failures import Failure
from services.kernel.ids import new_id

LEASE = timedelta(seconds=10)


@dataclass(frozen=True)
class Wording:
    """A generation of the service."""

    request_id: str = ""
    caller: str = "ana"
    generation_id: str = field(default_factory=new_id)
    state: State = State.RUNNING
    failure: Failure | None = None


@dataclass
class WordStore:
    """Keeps the promises of `generations.ports.GenerationStore` and `Ender`; who is silent is what the test says."""

    kept: dict[str, Wording] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    claims: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    ends: list[End[Wording]] = field(default_factory=list)
    discards: list[str] = field(default_factory=list)

    async def begin(self, owner_id: str, ttl: timedelta, generation: Wording, digest: bytes) -> str | None:
        """See `GenerationStore`."""
        earlier = await self.claimed(generation.caller, generation.request_id, digest)
        if earlier is not None:
            return earlier
        if generation.request_id:
            self.claims[generation.caller, generation.request_id] = (generation.generation_id, digest)
        self.kept[generation.generation_id] = generation
        return None

    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        """See `GenerationStore`."""
        holder, theirs = self.claims.get((caller, request_id), (None, digest))
        if theirs != digest:
            raise AlreadyExists("another body", reason="REQUEST_ID_REUSED")
        return holder

    async def generation(self, generation_id: str) -> Wording | None:
        """See `GenerationStore`."""
        return self.kept.get(generation_id)

    async def renew(self, owner_id: str, ttl: timedelta, generation_ids: Collection[str]) -> None:
        """See `GenerationStore`."""

    async def silent(self, limit: int, *, but: str = "") -> Sequence[Wording]:
        """See `GenerationStore`."""
        return [one for one in self.kept.values() if one.state is State.RUNNING][:limit]

    async def complete(self, generation_id: str, word: str) -> None:
        """The word is kept."""
        self.words[generation_id] = word
        self.kept[generation_id] = replace(self.kept[generation_id], state=State.COMPLETED)

    async def word(self, generation_id: str) -> str | None:
        """What a generation has made, as long as it is there."""
        return self.words.get(generation_id)

    async def ended(self, end: End[Wording], *, silent: bool) -> bool:
        """See `Ender`."""
        made = self.kept.get(end.generation.generation_id)
        if made is None or made.state is not State.RUNNING:
            return False
        self.kept[made.generation_id] = replace(made, state=end.state, failure=end.failure)
        self.claims.pop((made.caller, made.request_id), None)
        self.ends.append(end)
        return True

    async def discarded(self, generation_id: str) -> None:
        """See `Ender`."""
        self.discards.append(generation_id)


@dataclass
class WordProcess:
    """What one process has. `made` counts the works that were begun; `gate` is where a word waits while it is closed."""

    store: WordStore
    ends: Ends[Wording]
    generations: Generations[Wording, str]
    call: RepeatableCall[Wording, str]
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    made: int = 0

    async def word(self, generation: Wording, progress: Progress) -> str:
        """The usual work."""
        self.made += 1
        progress.used = 1
        await self.gate.wait()
        progress.touched()
        progress.arrived()
        await self.store.complete(generation.generation_id, "word")
        return "word"

    def prepare(
        self, request_id: str = "", work: Work[str] | None = None
    ) -> Callable[[], tuple[Wording, Work[str]]]:
        """What a call prepares: a generation, and the usual work or another."""

        def prepared() -> tuple[Wording, Work[str]]:
            made = Wording(request_id)
            return made, work or (lambda progress: self.word(made, progress))

        return prepared


@asynccontextmanager
async def word_process(store: WordStore | None = None, *, most: int = 10) -> AsyncIterator[WordProcess]:
    """A process that makes words; its gate is closed at first."""
    store = store or WordStore()
    ends = Ends(store)
    generations = Generations[Wording, str](store, ends, owner_id=new_id(), lease=LEASE, most=most)
    call = RepeatableCall(store, generations, store.word, lambda request_id: NotFound.of("word", request_id))
    yield WordProcess(store, ends, generations, call)
    await generations.aclose()
    await ends.aclose()
