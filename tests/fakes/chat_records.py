"""Generations and their ends, for tests of what keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.capabilities.metering.model import (
    NO_USAGE,
    Provenance,
    ServiceType,
    Unit,
    Usage,
    UsageEvent,
    UsageStatus,
)
from services.chat.model import (
    Ending,
    Event,
    Finished,
    FinishReason,
    Generation,
    Lease,
    Message,
    NewGeneration,
    Role,
    Session,
    Started,
    State,
    TextDelta,
    ToolCall,
)
from services.chat.ports import RecordStore
from services.kernel.failures import Failure
from services.kernel.ids import new_id

TTL = timedelta(seconds=30)
USAGE = Usage({Unit.INPUT_TOKENS: 3, Unit.OUTPUT_TOKENS: 2}, Provenance.REPORTED)


def now() -> datetime:
    return datetime.now(UTC)


def new_generation(
    *, user_id: str = "", session: Session | None = None, request_id: str = "", digest: bytes = b""
) -> NewGeneration:
    # Ids give turns their order, so the question's comes before the answer's.
    asked = Message(new_id(), Role.USER, ("¿Qué es una orden inbound?",)) if session else None
    generation_id, message_id = new_id(), new_id()
    session_id = session.session_id if session else ""
    generation = Generation(
        generation_id=generation_id,
        session_id=session_id,
        message_id=message_id,
        request_id=request_id,
        user_id=user_id,
        project="demo",
        model="echo",
        provider="echo",
        state=State.RUNNING,
        create_time=now(),
        operation="StreamChat",
        input_tokens_estimate=7,
    )
    started = Event(1, 1, generation.create_time, Started(generation_id, session_id, message_id, "echo"))
    return NewGeneration(generation, user_id or "anonymous", digest, session, asked, started)


def new_session(user_id: str) -> Session:
    return Session(new_id(), user_id, "a title", "demo", "", "be brief", False, now(), now())


def text(first_seq: int, seq: int, words: str) -> Event:
    return Event(first_seq, seq, now(), TextDelta(words))


def completed(new: NewGeneration, last_seq: int, words: str) -> Ending:
    generation = new.generation
    return Ending(
        state=State.COMPLETED,
        finish_reason=FinishReason.STOP,
        failure=None,
        usage=USAGE,
        message=Message(
            generation.message_id,
            Role.ASSISTANT,
            (words,),
            tool_calls=(ToolCall("call_1", "look_up", "{}"),),
            generation_id=generation.generation_id,
            model="echo",
            finish_reason=FinishReason.STOP,
        ),
        last_events=(
            Event(last_seq, last_seq, now(), Finished(FinishReason.STOP, generation.message_id, USAGE)),
        ),
        last_seq=last_seq,
        reasoning="",
        end_time=now(),
        free_claim=False,
        model="echo",
        provider="echo",
    )


def failed(last_seq: int, *, free_claim: bool) -> Ending:
    failure = Failure(14, "PROVIDER_UNAVAILABLE", "it is away", {"provider": "x"}, 1.5)
    return Ending(
        State.FAILED, None, failure, NO_USAGE, None, (), last_seq, "", now(), free_claim, "echo", "echo"
    )


def usage_event(generation: Generation) -> UsageEvent:
    return UsageEvent(
        event_id=new_id(),
        service_type=ServiceType.LLM_CHAT,
        operation="StreamChat",
        status=UsageStatus.SUCCESS,
        error_reason="",
        user_id=generation.user_id,
        api_key_id="",
        session_id=generation.session_id,
        project="demo",
        model="echo",
        provider="echo",
        request_id=generation.request_id,
        start_time=generation.create_time,
        latency=timedelta(seconds=1),
        time_to_first_token=None,
        usage=USAGE,
    )


async def begun(store: RecordStore, new: NewGeneration) -> Lease:
    lease = await store.acquire(new_id(), TTL)
    assert await store.begin(lease, new) is None
    return lease


async def adopted_by(store: RecordStore, mine: Lease, *, sole_owner: bool) -> list[Generation]:
    """Take over what the dead have left, and read it."""
    found = [
        await store.generation(id_) for id_ in await store.take_over(mine, sole_owner=sole_owner, limit=100)
    ]
    return [generation for generation in found if generation is not None]
