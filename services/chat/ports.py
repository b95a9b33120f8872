"""What Chat needs from others, as promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from services.capabilities.metering.model import Usage, UsageEvent
from services.chat.model import (
    Capability,
    Delta,
    Ending,
    Event,
    FinishReason,
    Generation,
    Lease,
    Message,
    NewGeneration,
    Parameters,
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


class RecordStore(Protocol):
    """Keeps the records of generations.

    Every write takes the writer's lease and has no effect unless that lease is in force at the moment of its commit: after
    `take_over` has returned, no write under the lease that was taken commits. Times are the store's. All methods raise
    Unavailable when the store can't be reached; a write may then have happened or not, and repeating it with the same
    arguments is safe.
    """

    async def acquire(self, owner_id: str, ttl: timedelta) -> Lease:
        """A new lease that lasts for `ttl` unless renewed."""
        ...

    async def renew(self, lease: Lease, ttl: timedelta) -> Sequence[str] | None:
        """Make the lease last for `ttl` from now. Returns the ids of its running generations that somebody has asked to cancel;
        None when the lease was taken over."""
        ...

    async def running(self, lease: Lease) -> Sequence[str]:
        """The ids of the generations that run under the lease."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease up; what still runs under it is left to `take_over`."""
        ...

    async def take_over(self, mine: Lease, *, sole_owner: bool) -> Sequence[Generation]:
        """Fence the leases that have run out — with `sole_owner`, all but `mine` — and adopt their running generations, so that
        `finish` under `mine` may end them. Adopted generations come with their text and `last_seq`. Two processes that do this at
        once adopt disjoint sets."""
        ...

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        """Store the claim, the session and message when they are new, the generation and its first event, all or nothing.

        Returns None when that was done. When another call holds the claim with the same digest, nothing is stored and the id of that
        call's generation is returned. Raises AlreadyExists (REQUEST_ID_REUSED) when the digests differ, and LeaseLost.
        """
        ...

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        """Add events to the records of running generations, in one step. Returns the ids of those that were accepted; the others are
        not this lease's any more, or have ended, and nothing of theirs was stored."""
        ...

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        """End a running generation: its state, last events, message and usage event, all or nothing. Returns False
        when the generation is not this lease's any more; True also when this very ending is stored already."""
        ...

    async def generation(self, generation_id: str) -> Generation | None:
        """The generation as stored. While it runs, `text`, `reasoning`, `tool_calls` and `last_seq` are those of the record."""
        ...

    async def state(self, generation_id: str) -> State | None:
        """How far the generation has come; None when there is none. Cheap enough to be asked again and again."""
        ...

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """Events of the record that begin after `after_seq`, in order, of at most about `limit` stored rows."""
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


class LeaseLost(Exception):
    """The lease was taken over: this process was taken for dead."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What a provider is asked: the model by the provider's own name, and the whole context, oldest first."""

    upstream_model: str
    messages: Sequence[Message]
    parameters: Parameters
    tools: Sequence[Tool]


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

        Raises ProviderRefused, ProviderCredential, ProviderRateLimited, ProviderUnavailable, ProviderProtocol and ProviderTimeout;
        an iteration that ends without Done is a defect. Closing or cancelling the iteration closes the connection to the model at
        once.
        """
        ...


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """An entry of the catalog. `not_ready_reason` is empty when calls can be answered; `context_tokens` 0 when unknown."""

    name: str
    provider_name: str
    upstream: str
    display_name: str
    description: str
    context_tokens: int
    capabilities: frozenset[Capability]
    not_ready_reason: str
    provider: Provider

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
