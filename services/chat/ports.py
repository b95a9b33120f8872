"""What Chat needs from others, as promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from services.capabilities.metering.model import Unit, Usage, UsageEvent
from services.capabilities.metering.ports import BookStore
from services.chat.model import (
    Capability,
    Delta,
    Ending,
    Event,
    FinishReason,
    Generation,
    Image,
    Lease,
    Message,
    NewGeneration,
    Parameters,
    Picture,
    Session,
    State,
    Tool,
)
from services.kernel.paging import Page, PageRequest


@dataclass(frozen=True, slots=True)
class Flush:
    """The events of one generation that became ready since its last flush, in order and dense."""

    generation_id: str
    events: Sequence[Event]

    @property
    def first_seq(self) -> int:
        """The first position that is covered."""
        return self.events[0].first_seq

    @property
    def seq(self) -> int:
        """The last position that is covered."""
        return self.events[-1].seq


@dataclass(frozen=True, slots=True)
class Renewal:
    """What others want of the generations of a lease: the ids of those that are to be cancelled, and of those that are watched from
    elsewhere."""

    to_cancel: frozenset[str] = frozenset()
    watched: frozenset[str] = frozenset()


class RecordStore(BookStore, Protocol):
    """Keeps the records of generations.

    Every write takes the writer's lease and has no effect unless that lease is in force at the moment of its commit: after
    `take_over` has returned, no write under the lease that was taken commits. Times are the store's. All methods raise
    Unavailable when the store can't be reached; a write may then have happened or not, and repeating it with the same
    arguments is safe.
    """

    async def acquire(self, owner_id: str, ttl: timedelta) -> Lease:
        """A new lease that lasts for `ttl` unless renewed."""
        ...

    async def renew(self, lease: Lease, ttl: timedelta) -> Renewal | None:
        """Make the lease last for `ttl` from now. Returns what others want of its running generations; None when the lease was taken
        over."""
        ...

    async def running(self, lease: Lease) -> Sequence[str]:
        """The ids of the generations that run under the lease."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease up; what still runs under it is left to `take_over`."""
        ...

    async def take_over(self, mine: Lease, *, sole_owner: bool, limit: int) -> Sequence[str]:
        """Fence the leases that have run out — with `sole_owner`, all but `mine` — and adopt at most `limit` running generations whose
        owner has no lease any more, so that `finish` under `mine` may end them. Returns their ids; none when none is left, or when `mine`
        was itself taken over. What was adopted before a failure is `running` under `mine`. Two processes that do this at once adopt
        disjoint sets."""
        ...

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        """Store the claim, the session and message when they are new, the generation and its first event, all or nothing; with
        `new.title` also the title of a session that has none.

        Returns None when that was done. When another call holds the claim with the same digest, nothing is stored and the id of that
        call's generation is returned. Raises AlreadyExists (REQUEST_ID_REUSED) when the digests differ, and LeaseLost.
        """
        ...

    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        """The id of the generation of the call that holds the claim; None when it is free. Raises AlreadyExists (REQUEST_ID_REUSED)
        when that call's digest was another one."""
        ...

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        """Add events to the records of running generations, in one step. Returns the ids of those that were accepted; the others are
        not this lease's any more, or have ended, and nothing of theirs was stored."""
        ...

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        """End a running generation: its state, last events, message and usage event, all or nothing. Of one whose session was deleted
        only the end and what was used are stored, nothing of its content, and its claim is not freed. Returns False
        when the generation is not this lease's any more; True also when this very ending is stored already."""
        ...

    async def generation(self, generation_id: str) -> Generation | None:
        """The generation as stored. While it runs, `text`, `reasoning`, `tool_calls` and `last_seq` are those of the record. It is
        `forgotten` once its session was deleted."""
        ...

    async def head(self, generation_id: str) -> Generation | None:
        """The same without what was made: `text`, `reasoning` and `tool_calls` are empty, and while it runs `model` and `provider` are those
        that it began with. Costs the same, however long the record is."""
        ...

    async def state(self, generation_id: str) -> State | None:
        """How far the generation has come; None when there is none. Cheap enough to be asked again and again."""
        ...

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """Events of the record that begin after `after_seq`, in order, of at most about `limit` stored rows: all there are when there
        are fewer rows. Adjacent text deltas may come as one."""
        ...

    async def request_cancel(self, generation_id: str) -> None:
        """Note that a running generation is to be cancelled by its owner."""
        ...

    async def prune(self, older_than: timedelta, limit: int) -> int:
        """Remove the events of at most `limit` generations that ended that long ago; their messages stay. Returns how many."""
        ...

    async def forget_answers(self, older_than: timedelta, limit: int) -> int:
        """Forget at most `limit` generations without a session that ended that long ago, with their messages: nobody could list or delete
        them. Returns how many."""
        ...

    async def forget_claims(self, older_than: timedelta) -> int:
        """Forget some of the request_ids that were claimed that long ago. Returns how many; 0 when none is left."""
        ...

    async def context(
        self, session_id: str, user_id: str, limit: int
    ) -> tuple[Session, Sequence[Message]] | None:
        """A person's session and its last messages, oldest first: at most `limit`, and at most about 4 MiB of them, but always the last one.
        None when there is no such session of this person."""
        ...


class Tails(Protocol):
    """Lets replicas watch the records that others write: who watches is known to the writer, and growth to who watches.

    A watch lasts for `ttl` unless repeated, so that one of a dead process ends by itself. All methods raise Unavailable when the store
    can't be reached.
    """

    async def watch(self, watcher_id: str, generation_ids: Collection[str], ttl: timedelta) -> None:
        """`watcher_id`, a process, watches these generations for `ttl` from now."""
        ...

    async def unwatch(self, watcher_id: str, generation_id: str) -> None:
        """It watches this one no more."""
        ...

    async def watched(self, generation_ids: Collection[str]) -> frozenset[str]:
        """Those of the generations that somebody watches now."""
        ...

    async def announce(self, generation_ids: Collection[str]) -> None:
        """Tell who watches that these records have grown or ended. What is lost on the way is found by polling."""
        ...

    def growth(self) -> AsyncIterator[str]:
        """The ids of generations, as they are announced, until closed. Raises Unavailable when it was cut off; a store that can't tell
        ends the iteration at once, and is polled."""
        ...


class SessionStore(Protocol):
    """Keeps sessions and their messages. Everything is looked up by owner: what belongs to others is absent. Raises Unavailable when
    the store can't be reached."""

    async def create_session(self, session: Session, claim: tuple[str, str, bytes] | None) -> Session:
        """Store a session. `claim` is (caller, request_id, digest): when an earlier call holds it, its session is returned and nothing
        stored; raises AlreadyExists (REQUEST_ID_REUSED) when the digests differ, and NotFound when that session is gone."""
        ...

    async def session(self, session_id: str, user_id: str | None) -> Session | None:
        """A session of a person; of anybody when `user_id` is None."""
        ...

    async def sessions(
        self, user_id: str, project: str, include_archived: bool, page: PageRequest
    ) -> Page[Session]:
        """Sessions of a person, newest first. The key of a page is a session_id. Of large ones a page holds fewer, as for messages."""
        ...

    async def messages(self, session_id: str, page: PageRequest) -> Page[Message]:
        """Messages of a session, newest first. The key of a page is a message_id. A page of large messages holds fewer than were asked
        for, so that it stays below 3 MiB unless a single message is larger."""
        ...

    async def update_session(
        self, session_id: str, user_id: str, changes: Mapping[str, str | bool], update_time: datetime
    ) -> Session | None:
        """Set fields of a person's session by their names in the model, `title`, `project`, `model`, `system_prompt` and `archived`.
        Returns the session as it is then; None when there is none."""
        ...

    async def delete_session(self, session_id: str, user_id: str) -> Sequence[str] | None:
        """Remove a person's session, its messages, and all content of its generations: what stays says how much was used, and is
        `forgotten`. Those that run are asked to cancel, and their ids are returned; their ends store no content either. Claims stay, so
        that no late retry makes anew what was deleted. None when there is no such session."""
        ...

    async def fork_session(
        self, session: Session, message_id: str, claim: tuple[str, str, bytes] | None
    ) -> Session | None:
        """Store a session with copies of the messages of `forked_from_session_id` up to and with `message_id`, all or nothing, under ids
        that keep their order. None when the person has no such session, or it has no such message. Claims are as for `create_session`."""
        ...

    async def create_message(
        self, message: Message, user_id: str, claim: tuple[str, str, bytes] | None
    ) -> Message | None:
        """Add a message to the person's session `message.session_id`, which counts as changed then. One of a user gives a session
        without a title its own (`model.title_of`). None when there is no such session; claims are as for `create_session`, with the
        message of the first call."""
        ...

    async def message(self, message_id: str, user_id: str) -> Message | None:
        """A message of a person: of a session, or the answer to a call without one."""
        ...

    async def search(self, user_id: str, session_id: str, query: str, page: PageRequest) -> Page[Message]:
        """Messages in a person's sessions, or in one of them, whose text has all words of `query`, by `words.Wanted`: those of the best score
        first, and of equal ones the newest. None for a query without a word.

        At least the newest 50,000 messages are looked through, or the newest 128 MiB of them, of each the first 100,000 characters, and of
        the hits the newest 1,000 are ranked; a store may leave out words behind the first 4,000 different ones of a message, and rank fewer
        hits of large ones. What a
        search costs does not depend on what others have stored, nor what a call for an answer costs on searches. The key of a page is
        the store's own, and stays valid while messages are added. `total_size` is not told. Of large messages a page holds fewer, as for
        `messages`."""
        ...


class LeaseLost(Exception):
    """The lease was taken over: this process was taken for dead."""


def _unheard() -> None:
    """Nobody asked."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What a provider is asked: the model by the provider's own name, and the whole context, oldest first.

    `pictures` has every picture of the messages, until the answer begins. `connected` is called once the model has been reached, before it
    answers.
    """

    upstream_model: str
    messages: Sequence[Message]
    parameters: Parameters
    tools: Sequence[Tool]
    pictures: Mapping[Image, Picture] = field(default_factory=dict, compare=False, repr=False)
    connected: Callable[[], None] = field(default=_unheard, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer. `usage` is None when the provider did not tell."""

    finish_reason: FinishReason
    usage: Usage | None
    upstream_request_id: str = ""


class Provider(Protocol):
    """Answers with a language model."""

    def stream(self, call: ModelCall) -> AsyncIterator[Sequence[Delta] | Done]:
        """The answer: groups of deltas in order, as they arrive, then exactly one Done.

        Raises ProviderRefused, ProviderCredential, ProviderModelGone, ProviderRateLimited, ProviderUnavailable, ProviderProtocol and
        ProviderTimeout; an iteration that ends without Done is a defect. Closing or cancelling the iteration closes the connection
        to the model at once.
        """
        ...


class Pictures(Protocol):
    """Fetches what messages refer to: PNG, JPEG, WebP and GIF, of a bounded size and within a bounded time."""

    async def fetch(self, user_id: str, image: Image) -> Picture:
        """The picture, for a person, empty for nobody. Raises NotFound for an image that is not there or not the person's, ImageUnreachable
        for an address that is not public, or has no such picture, ImageServiceUnknown and Unavailable."""
        ...


class ImageSource(Protocol):
    """The images of the image service."""

    async def image(self, user_id: str, image_id: str, owner_token: str, limit: int) -> Picture:
        """An image of a person, or of whoever has its `owner_token`, in a form that takes at most `limit` bytes. Raises NotFound when there is
        none, or it is somebody else's, PictureTooLarge when no form is so small, and Unavailable."""
        ...


class PictureTooLarge(Exception):
    """It has more bytes than were asked for."""


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """An entry of the catalog. `not_ready_reason` is empty when calls can be answered; `context_tokens` 0 when unknown.

    `endpoint` is the address that it is called at, which models share; `fallbacks` are the names of the models that are asked, in this
    order, when it fails before its first token; `prices` are nano-USD for a million units; `family` names the tokenizer whose counts are
    estimated; `total_timeout` bounds its answers, in seconds, in the place of the setting, None leaves it to that; `first_token_timeout`
    is for how many seconds it may be silent before its answer, None when nobody said.
    """

    name: str
    provider_name: str
    upstream: str
    display_name: str
    description: str
    context_tokens: int
    capabilities: frozenset[Capability]
    not_ready_reason: str
    provider: Provider
    endpoint: str = ""
    fallbacks: tuple[str, ...] = ()
    prices: Mapping[Unit, int] = field(default_factory=dict)
    family: str = ""
    total_timeout: float | None = None
    first_token_timeout: float | None = None

    @property
    def ready(self) -> bool:
        """Whether calls can be answered."""
        return not self.not_ready_reason


class Catalog(Protocol):
    """The models that there are."""

    @property
    def models(self) -> Mapping[str, CatalogModel]:
        """All models by name, in the catalog's order."""
        ...

    @property
    def default(self) -> CatalogModel:
        """The first ready model."""
        ...

    def known(self, name: str) -> CatalogModel:
        """A model by its name, ready or not. Raises ModelNotFound."""
        ...

    def find(self, name: str) -> CatalogModel:
        """A ready model by its name; an empty name is the default. Raises ModelNotFound and ModelNotReady."""
        ...
