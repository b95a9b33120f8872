"""Chat's use cases on a store in memory and on a provider that says what a test has it say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from services.capabilities.metering.meter import Meter
from services.capabilities.metering.metrics import ServiceUsage, UsageMetrics
from services.capabilities.metering.model import UsageEvent
from services.capabilities.upstream.errors import ModelNotReady
from services.chat.errors import ModelNotFound
from services.chat.generation.breaker import Breakers
from services.chat.generation.generations import Bounds, Generations
from services.chat.generation.leases import LeaseKeeper
from services.chat.generation.metrics import ChatMetrics
from services.chat.generation.routing import Routing
from services.chat.generation.tails import RemoteTails
from services.chat.generation.writer import RecordWriter
from services.chat.model import (
    Capability,
    ChatCall,
    Delta,
    Ending,
    Event,
    Finished,
    FinishReason,
    Generation,
    Lease,
    NewGeneration,
    OnDisconnect,
    Parameters,
    ReasoningDelta,
    TextDelta,
)
from services.chat.ports import CatalogModel, Done, Flush, ModelCall
from services.chat.usecases.generations import CancelGeneration, FindGeneration, WatchGeneration
from services.chat.usecases.showing import Gallery
from services.chat.usecases.start_chat import StartChat
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.ownership import OwnerTokens
from services.kernel.principal import ANONYMOUS, Kind, Principal
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_pictures import HungPictures

ALICE = Principal(Kind.USER, user_id="alice")
BOB = Principal(Kind.USER, user_id="bob")
__all__ = ["ALICE", "ANONYMOUS", "BOB"]


async def until(condition: Callable[[], object], seconds: float = 3.0) -> None:
    """Wait for a condition, and fail when it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        await asyncio.sleep(0.002)


class Play:
    """One call of the provider: the test says what comes next."""

    def __init__(self, call: ModelCall) -> None:
        self.call = call
        self.closed = False
        self._items: asyncio.Queue[Sequence[Delta] | Done | BaseException] = asyncio.Queue()

    def say(self, *words: str) -> None:
        """A group of deltas for each."""
        for word in words:
            self.send([TextDelta(word)])

    def send(self, item: Sequence[Delta] | Done | BaseException) -> None:
        self._items.put_nowait(item)

    def finish(self, reason: FinishReason = FinishReason.STOP) -> None:
        """The end, without a report of usage."""
        self.send(Done(reason, None))

    async def next(self) -> Sequence[Delta] | Done:
        item = await self._items.get()
        if isinstance(item, BaseException):
            raise item
        return item


class ScriptedProvider:
    """Keeps Provider's promises with what its plays are told."""

    def __init__(self) -> None:
        self.plays: list[Play] = []

    async def stream(self, call: ModelCall) -> AsyncIterator[Sequence[Delta] | Done]:
        play = Play(call)
        self.plays.append(play)
        call.connected()
        try:
            while True:
                item = await play.next()
                yield item
                if isinstance(item, Done):
                    return
        finally:
            play.closed = True


@dataclass
class SlowStore(MemoryRecordStore):
    """A store whose writes take until `gate` is open. With `forgets` set, that many writes happen and say that they did not."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    forgets: int = 0
    begin_gate: asyncio.Event = field(default_factory=asyncio.Event)
    offered: list[list[Flush]] = field(default_factory=list)
    beginning: int = 0
    writing: int = 0
    most_writing: int = 0
    finishes: list[Ending] = field(default_factory=list)
    defect_in: str = ""
    outside: bool = False

    def __post_init__(self) -> None:
        self.gate.set()
        self.begin_gate.set()

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        self.beginning += 1
        await self.begin_gate.wait()
        self.beginning -= 1
        return await super().begin(lease, new)

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        self.offered.append(list(flushes))
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            if self.defect_in and any(self.defect_in in _text(flush.events) for flush in flushes):
                raise RuntimeError("a defect")
            accepted = await super().append(lease, flushes)
        finally:
            self.writing -= 1
        self._forget()
        return accepted

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        self.finishes.append(ending)
        await asyncio.sleep(0)
        if self.defect_in and self.defect_in in _text(ending.last_events):
            raise RuntimeError("a defect")
        kept = await super().finish(lease, generation, ending, usage_event)
        self._forget()
        return kept

    def _forget(self) -> None:
        if self.forgets:
            self.forgets -= 1
            raise Unavailable("the connection broke")


def _text(events: Iterable[Event]) -> str:
    return "".join(event.body.text for event in events if isinstance(event.body, TextDelta | ReasoningDelta))


class OneModel:
    """A catalog of one model, and of others behind it."""

    def __init__(self, model: CatalogModel, *others: CatalogModel) -> None:
        self.models = {one.name: one for one in (model, *others)}
        self.default = model

    def known(self, name: str) -> CatalogModel:
        if name not in self.models:
            raise ModelNotFound(name)
        return self.models[name]

    def find(self, name: str) -> CatalogModel:
        model = self.known(name or self.default.name)
        if not model.ready:
            raise ModelNotReady(model.name, model.not_ready_reason)
        return model


def a_model(context_tokens: int = 0, capabilities: Iterable[Capability] = ()) -> CatalogModel:
    return CatalogModel(
        name="scripted",
        provider_name="test",
        upstream="scripted-1",
        display_name="Scripted",
        description="",
        context_tokens=context_tokens,
        capabilities=frozenset(capabilities),
        not_ready_reason="",
        provider=ScriptedProvider(),
    )


_CALL = ChatCall(
    operation="StreamChat",
    request_id="",
    digest=b"",
    session_id="",
    project="demo",
    model="",
    message="¿Qué es una orden inbound?",
    conversation=(),
    system_prompt="",
    parameters=Parameters(),
    tools=(),
    on_disconnect=None,
    disconnect_grace=None,
)


def a_call(**changes: Any) -> ChatCall:
    return replace(_CALL, **changes)


def stop_after(seconds: float) -> dict[str, Any]:
    """The fields of a call that is to stop that long after nobody watches."""
    return {"on_disconnect": OnDisconnect.STOP, "disconnect_grace": timedelta(seconds=seconds)}


@dataclass
class Chat:
    """Chat, put together."""

    store: SlowStore
    keeper: LeaseKeeper
    generations: Generations
    writer: RecordWriter
    provider: ScriptedProvider
    start: StartChat
    watch: WatchGeneration
    find: FindGeneration
    cancel: CancelGeneration
    tokens: OwnerTokens
    remote: RemoteTails
    pictures: HungPictures
    gallery: Gallery

    async def begin(
        self, principal: Principal = ALICE, remaining: float | None = None, **changes: Any
    ) -> str:
        """Start a generation and wait until the provider is at work."""
        plays = len(self.provider.plays)
        id_ = await self.start(principal, a_call(**changes), remaining)
        await until(lambda: len(self.provider.plays) > plays)
        return id_

    @property
    def play(self) -> Play:
        """The provider's latest call."""
        return self.provider.plays[-1]

    async def read(self, id_: str, after_seq: int = 0) -> list[Event]:
        """Watch to the end."""
        async with aclosing(self.watch(id_, after_seq)) as events:  # type: ignore[type-var]
            return [event async for event in events]

    async def stored(self, id_: str) -> Generation:
        found = await self.store.generation(id_)
        assert found is not None
        return found

    async def ended(self, id_: str) -> Generation:
        """Wait until a generation is made no more, and tell how it is stored."""
        await until(lambda: self.generations.live(id_) is None)
        return await self.stored(id_)

    async def durable(self, id_: str, seq: int) -> None:
        """Wait until the record has that position."""
        live = self.generations.live(id_)
        assert live is not None
        await until(lambda: live.snapshot().last_seq >= seq)


@asynccontextmanager
async def chat(
    store: SlowStore | None = None,
    *,
    total_timeout: float = 30.0,
    max_answer_bytes: int = 1_000_000,
    max_generations: int = 100,
    model: CatalogModel | None = None,
    others: Sequence[CatalogModel] = (),
    retries: int = 0,
    breakers: Breakers | None = None,
    most_picture_bytes: int = 1_000_000,
) -> AsyncIterator[Chat]:
    """Chat at work, its writer running; everything is ended in the end. Models are asked again only with `retries`. A picture has at most
    1,000 bytes, and all that are held together at most `most_picture_bytes`."""
    store = store or SlowStore()
    keeper = LeaseKeeper(store, timedelta(seconds=30), sole_owner=False)
    await keeper.acquire()
    writer = RecordWriter(store, keeper)
    bounds = Bounds(max_answer_bytes, max_generations)
    routing = Routing(total_timeout, retries, breakers or Breakers(0, 1.0), ChatMetrics(CollectorRegistry()))
    meter = Meter(ServiceUsage("chat", UsageMetrics(CollectorRegistry())), enabled=True)
    generations = Generations(store, writer, keeper, bounds, routing, meter, store)
    remote = RemoteTails(store, store, new_id())
    model = model or a_model()
    provider = model.provider
    assert isinstance(provider, ScriptedProvider)
    tokens = OwnerTokens(b"k" * 32)
    find = FindGeneration(store, generations, tokens)
    pictures = HungPictures()
    gallery = Gallery(pictures, 1_000, most_bytes=most_picture_bytes)
    works = [asyncio.create_task(work) for work in (writer.run(), generations.run(), remote.run())]
    try:
        yield Chat(
            store,
            keeper,
            generations,
            writer,
            provider,
            StartChat(store, OneModel(model, *others), generations, keeper, gallery),
            WatchGeneration(store, generations, remote),
            find,
            CancelGeneration(find, store, generations),
            tokens,
            remote,
            pictures,
            gallery,
        )
    finally:
        await generations.close()
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


def words(events: Iterable[Event]) -> str:
    """The answer's text as these events add up to it."""
    return "".join(event.body.text for event in events if isinstance(event.body, TextDelta))


def is_dense(events: Sequence[Event], after_seq: int = 0) -> bool:
    """Whether the events cover every position after that one, each once."""
    position = after_seq
    for event in events:
        if event.first_seq != position + 1:
            return False
        position = event.seq
    return True


def finished(events: Sequence[Event]) -> Finished:
    body = events[-1].body
    assert isinstance(body, Finished)
    return body


class Viewer:
    """Somebody who watches until told to leave."""

    def __init__(self, it: Chat, id_: str, after_seq: int = 0) -> None:
        self.events: list[Event] = []
        self.task = asyncio.create_task(self._run(it, id_, after_seq))

    async def _run(self, it: Chat, id_: str, after_seq: int) -> None:
        async with aclosing(it.watch(id_, after_seq)) as events:  # type: ignore[type-var]
            async for event in events:
                self.events.append(event)

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def watched(it: Chat, **changes: Any) -> tuple[str, Viewer]:
    """A generation that somebody watches from its first moment, at work."""
    plays = len(it.provider.plays)
    id_ = await it.start(ALICE, a_call(**changes), None)
    viewer = Viewer(it, id_)
    await until(lambda: viewer.events and len(it.provider.plays) > plays)
    return id_, viewer
