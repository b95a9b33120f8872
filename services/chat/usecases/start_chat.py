"""StreamChat and Chat: begin a generation, or find the one that an earlier call with the same request_id began."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.capabilities.upstream.errors import ModelNotReady, UnsupportedInput
from services.chat.errors import ContextTooLong, ModelNotFound
from services.chat.generation.generations import Generations
from services.chat.generation.live import LiveGeneration
from services.chat.generation.routing import Candidate
from services.chat.generation.writer import LeaseHolder
from services.chat.model import (
    ChatCall,
    Event,
    Generation,
    Message,
    NewGeneration,
    OnDisconnect,
    Part,
    Role,
    Session,
    Started,
    State,
    title_of,
)
from services.chat.ports import Catalog, CatalogModel, LeaseLost, ModelCall, RecordStore
from services.chat.usecases.context import asked_images, build_context, without_unseen
from services.chat.usecases.deadlines import time_to_make
from services.chat.usecases.showing import Gallery, Held
from services.kernel.errors import InvalidArgument, NotFound, ServiceError, Unavailable
from services.kernel.ids import is_random_uuid, new_id
from services.kernel.metering import Question
from services.kernel.principal import Principal
from services.kernel.request import current_or_none

_ANONYMOUS = "anonymous"
_ANONYMOUS_GRACE = timedelta(seconds=10)
_HISTORY_MESSAGES = 400


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A call that can be answered. `user_message` is what a session keeps of it; `held` are the pictures that models are shown."""

    session: Session | None
    user_message: Message | None
    model: CatalogModel
    system_prompt: str
    turns: list[Message]
    context: list[Message]
    tokens: int
    held: Held


@dataclass(frozen=True, slots=True)
class StartChat:
    """Begins generations."""

    records: RecordStore
    catalog: Catalog
    generations: Generations
    holder: LeaseHolder
    gallery: Gallery
    _beginning: set[asyncio.Task[str | None]] = field(default_factory=set)

    async def __call__(self, principal: Principal, call: ChatCall, remaining: float | None) -> str:
        """Returns the id of the generation that answers the call, once its first event is durable.

        `remaining` is the caller's deadline in seconds from now. Raises ModelNotFound, ModelNotReady, NotFound, AlreadyExists,
        UnsupportedInput, ContextTooLong, InvalidArgument, ResourceExhausted and Unavailable, for pictures also FailedPrecondition,
        PermissionDenied and DeadlineExceeded. Nothing is claimed until they are fetched.
        """
        self._check_caller(principal, call)
        end = None if remaining is None else asyncio.get_running_loop().time() + time_to_make(remaining)
        try:
            prepared = await self._prepared(principal, call, end)
        except ServiceError:
            # What would refuse a new call keeps nobody from the answer to an earlier one.
            answered = await self._answered(principal, call)
            if answered is None:
                raise
            prepared = answered
        if isinstance(prepared, str):
            _tell(True)
            return prepared
        with ExitStack() as undo:
            undo.callback(prepared.held.release)
            return await self._begun(principal, call, prepared, end, undo)

    async def _prepared(self, principal: Principal, call: ChatCall, end: float | None) -> _Prepared | str:
        """What refuses a call is found here. An id when an earlier call's generation was found on the way."""
        self.generations.admit()
        session, history = await self._session(principal, call)
        model = self.catalog.find(call.model or (session.model if session else ""))
        turns, user_message = self._turns(principal, call, history)
        system_prompt = call.system_prompt or (session.system_prompt if session else "")
        context, tokens = build_context(model, system_prompt, turns, call)
        with ExitStack() as undo:
            held = self.gallery.nothing()
            if wanted := [image for message in context for image in message.images]:
                if (answered := await self._answered(principal, call)) is not None:
                    return answered
                held = await self.gallery.show(principal, wanted, asked_images(turns), end)
                undo.callback(held.release)
                # The fallbacks are shown the same, and where something is missing, words stand for it.
                turns = without_unseen(turns, held.pictures)
                context, tokens = build_context(model, system_prompt, turns, call)
            # Others may have been admitted meanwhile, and what waits to begin in the store takes its place already.
            self.generations.admit(beginning=len(self._beginning))
            undo.pop_all()
        return _Prepared(session, user_message, model, system_prompt, turns, context, tokens, held)

    async def _begun(
        self,
        principal: Principal,
        call: ChatCall,
        prepared: _Prepared,
        end: float | None,
        undo: ExitStack,
    ) -> str:
        """The id of the generation that has begun, here or by an earlier call. `undo` is left to be done unless it has begun here."""
        session, user_message, model = prepared.session, prepared.user_message, prepared.model
        now, opened = datetime.now(UTC), None
        # The ids' order is the order of turns: the answer's comes right after the question's, however long its pictures have taken.
        if user_message is not None:
            user_message = replace(user_message, message_id=new_id())
        if session is None and user_message is not None:
            opened = Session(
                session_id=new_id(),
                user_id=principal.user_id,
                title=title_of(user_message.text),
                project=call.project,
                model=call.model,
                system_prompt=call.system_prompt,
                archived=False,
                create_time=now,
                update_time=now,
            )
        session_id = session.session_id if session else opened.session_id if opened else ""
        message_id, generation_id = new_id(), new_id()
        generation = Generation(
            generation_id=generation_id,
            session_id=session_id,
            message_id=message_id,
            request_id=call.request_id,
            user_id=principal.user_id,
            project=_project_of(principal, call, session),
            model=model.name,
            provider=model.provider_name,
            state=State.RUNNING,
            create_time=now,
            operation=call.operation,
            api_key_id=principal.api_key_id,
            input_tokens_estimate=prepared.tokens,
            requested_model=model.name,
        )
        started = Event(1, 1, now, Started(generation_id, session_id, message_id, model.name))
        new = NewGeneration(
            generation=generation,
            caller=principal.user_id or _ANONYMOUS,
            digest=call.digest,
            session=opened,
            user_message=user_message,
            started=started,
            title=title_of(user_message.text) if session and user_message and not session.title else "",
        )
        chain = self._chain(prepared, call)
        begin = asyncio.create_task(self._begin(new))
        self._beginning.add(begin)
        begin.add_done_callback(self._beginning.discard)
        # However this goes on, either the generation is metered, or this call is.
        _tell(self._has_begun(begin, generation_id))
        try:
            earlier = await asyncio.shield(begin)
        except asyncio.CancelledError:
            # The caller went away, and what has begun in the store is made nevertheless, or stopped as the call says.
            late = undo.pop_all()

            def begun(ended: asyncio.Task[str | None]) -> None:
                with late, suppress(Unavailable):
                    if not ended.cancelled() and ended.exception() is None and ended.result() is None:
                        self._start(new, chain, call, end, prepared.held)
                        late.pop_all()

            begin.add_done_callback(begun)
            raise
        _tell(True)
        if earlier is not None:
            return earlier
        self._start(new, chain, call, end, prepared.held)
        undo.pop_all()
        return generation_id

    def _start(
        self,
        new: NewGeneration,
        chain: Iterator[Candidate],
        call: ChatCall,
        end: float | None,
        held: Held,
    ) -> None:
        """Make the generation. Nothing is awaited from here until the caller watches, so that it counts as a watcher in time."""
        anonymous = not new.generation.user_id
        on_disconnect = call.on_disconnect or (OnDisconnect.STOP if anonymous else OnDisconnect.CONTINUE)
        grace = call.disconnect_grace
        if grace is None:
            grace = _ANONYMOUS_GRACE if anonymous else timedelta()
        # A caller that wants its generation to go on without it does not bound it by its own deadline.
        deadline = end if on_disconnect is OnDisconnect.STOP else None
        self.generations.start(
            LiveGeneration(new.generation, new.started), chain, on_disconnect, grace, deadline, held.release
        )

    def _has_begun(self, begin: asyncio.Task[str | None], generation_id: str) -> Question:
        """Whether the generation, or that of an earlier call, is there to be metered."""

        async def answer() -> bool | None:
            if not begin.done():
                return None
            error = None if begin.cancelled() else begin.exception()
            if error is None and not begin.cancelled():
                return True
            if isinstance(error, ServiceError) and not isinstance(error, Unavailable):
                return False
            # The store may have it although it did not say so.
            return await self.records.state(generation_id) is not None

        return answer

    def _chain(self, prepared: _Prepared, call: ChatCall) -> Iterator[Candidate]:
        """The model that was asked, then its fallbacks that can answer this call, each made when it is needed."""
        pictures = prepared.held.pictures

        def candidate(model: CatalogModel, context: list[Message], tokens: int) -> Candidate:
            asked = ModelCall(model.upstream, context, call.parameters, call.tools, pictures)
            return Candidate(model, asked, tokens)

        yield candidate(prepared.model, prepared.context, prepared.tokens)
        seen = {prepared.model.name}
        for name in prepared.model.fallbacks:
            if name in seen:
                continue
            seen.add(name)
            try:
                model = self.catalog.find(name)
                context, tokens = build_context(model, prepared.system_prompt, prepared.turns, call)
            except (ModelNotFound, ModelNotReady, UnsupportedInput, ContextTooLong):
                continue
            yield candidate(model, context, tokens)

    def _check_caller(self, principal: Principal, call: ChatCall) -> None:
        if principal.user_id:
            return
        if call.session_id:
            raise NotFound.of("chat.session", call.session_id)
        if call.request_id and not is_random_uuid(call.request_id):
            raise InvalidArgument.field(
                "request_id", "has to be a random UUID (version 4) without a credential"
            )

    async def _answered(self, principal: Principal, call: ChatCall) -> str | None:
        """The id of the generation that an earlier call with this request_id began."""
        if not call.request_id:
            return None
        return await self.records.claimed(principal.user_id or _ANONYMOUS, call.request_id, call.digest)

    async def _session(self, principal: Principal, call: ChatCall) -> tuple[Session | None, list[Message]]:
        if not call.session_id:
            return None, []
        found = await self.records.context(call.session_id, principal.user_id, _HISTORY_MESSAGES)
        if found is None:
            raise NotFound.of("chat.session", call.session_id)
        return found[0], list(found[1])

    def _turns(
        self, principal: Principal, call: ChatCall, history: list[Message]
    ) -> tuple[list[Message], Message | None]:
        if call.message is None:
            if call.conversation[-1].role not in (Role.USER, Role.TOOL):
                raise UnsupportedInput(
                    f"conversation.messages[{len(call.conversation) - 1}].role",
                    "the last message has to be a user's or a tool's, since it is the one to be answered",
                )
            return list(call.conversation), None
        parts: tuple[Part, ...] = (*call.images, call.message)
        asked = Message("", Role.USER, parts)
        return [*history, asked], asked if principal.user_id else None

    async def _begin(self, new: NewGeneration) -> str | None:
        try:
            with self.generations.beginning(new.generation.generation_id):
                return await self.records.begin(self.holder.lease, new)
        except LeaseLost:
            raise Unavailable("the server is about to rejoin its deployment; try again") from None


def _project_of(principal: Principal, call: ChatCall, session: Session | None) -> str:
    """What the call is for, as its caller says in free text: of an anonymous caller nobody could be held to it."""
    if principal.is_anonymous:
        return ""
    return call.project or (session.project if session else "")


def _tell(begun: bool | Question) -> None:
    request = current_or_none()
    if request is not None:
        request.begun = begun
