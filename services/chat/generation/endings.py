"""How generations end: what the final write stores, and what the meter counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from services.capabilities.metering.model import (
    NO_USAGE,
    Provenance,
    ServiceType,
    Unit,
    Usage,
    UsageEvent,
    UsageStatus,
)
from services.chat.errors import GenerationInterrupted
from services.chat.generation.families import family_of
from services.chat.generation.live import LiveGeneration
from services.chat.generation.tokens import estimate_tokens
from services.chat.model import Ending, Finished, FinishReason, Generation, Message, Role, State, ToolCall
from services.kernel.failures import Failure, failure_of
from services.kernel.ids import new_id

_STATUS = {
    State.COMPLETED: UsageStatus.SUCCESS,
    State.CANCELLED: UsageStatus.CANCELLED,
    State.FAILED: UsageStatus.ERROR,
    State.INTERRUPTED: UsageStatus.ERROR,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the reading from a provider ended."""

    state: State
    finish_reason: FinishReason | None = None
    failure: Failure | None = None
    usage: Usage | None = None


def ending_of(live: LiveGeneration, outcome: Outcome) -> Ending:
    """The ending of a generation of this process. Takes what is pending of it; no flush may be in flight."""
    pending = live.last_events(None)
    whole = live.whole(pending)
    text, reasoning = cast(str, whole["text"]), cast(str, whole["reasoning"])
    calls = cast(tuple[ToolCall, ...], whole["tool_calls"])
    usage = outcome.usage or _estimated(live.generation, outcome.state, text + reasoning, calls, live.family)
    message = _answer(live.generation, outcome, text, calls)
    if outcome.finish_reason is not None:
        finished = Finished(outcome.finish_reason, message.message_id if message else "", usage)
        pending += live.last_events(finished)
    return Ending(
        state=outcome.state,
        finish_reason=outcome.finish_reason,
        failure=outcome.failure,
        usage=usage,
        message=message,
        last_events=pending,
        last_seq=live.last_seq,
        reasoning=reasoning,
        end_time=datetime.now(UTC),
        free_claim=outcome.failure is not None and not live.has_content,
        model=live.generation.model,
        provider=live.generation.provider,
    )


def ending_of_stored(generation: Generation, failure: Failure | None = None) -> Ending:
    """The ending of a generation that nobody makes any more: what is on record is all there will be.

    Without a `failure` it was interrupted.
    """
    if failure is None:
        outcome = Outcome(
            State.INTERRUPTED, failure=failure_of(GenerationInterrupted(generation.generation_id))
        )
    else:
        outcome = Outcome(State.FAILED, failure=failure)
    made = bool(generation.text or generation.reasoning or generation.tool_calls)
    return Ending(
        state=outcome.state,
        finish_reason=None,
        failure=outcome.failure,
        usage=_estimated(
            generation,
            outcome.state,
            generation.text + generation.reasoning,
            generation.tool_calls,
            # Whose catalog it was made by is gone; most models are called by names that tell.
            family_of(generation.model),
        ),
        message=_answer(generation, outcome, generation.text, generation.tool_calls),
        last_events=(),
        last_seq=generation.last_seq,
        reasoning=generation.reasoning,
        end_time=datetime.now(UTC),
        free_claim=not made,
        model=generation.model,
        provider=generation.provider,
    )


def usage_event_of(generation: Generation, ending: Ending, first_token_time: datetime | None) -> UsageEvent:
    """What the meter is told of a generation that ended."""
    return UsageEvent(
        event_id=new_id(),
        service_type=ServiceType.LLM_CHAT,
        operation=generation.operation,
        status=_STATUS[ending.state],
        error_reason=ending.failure.reason if ending.failure else "",
        user_id=generation.user_id,
        api_key_id=generation.api_key_id,
        session_id=generation.session_id,
        project=generation.project,
        model=ending.model,
        provider=ending.provider,
        request_id=generation.request_id,
        start_time=generation.create_time,
        latency=max(ending.end_time - generation.create_time, timedelta()),
        time_to_first_token=None
        if first_token_time is None
        else max(first_token_time - generation.create_time, timedelta()),
        usage=ending.usage,
    )


def usage_event_again(
    generation: Generation, event_id: str, time_to_first_token: timedelta | None
) -> UsageEvent:
    """What the meter was told of a generation that has ended, from what the store has of it: the very same, but for what was deleted
    since."""
    end = generation.end_time or generation.create_time
    return UsageEvent(
        event_id=event_id,
        service_type=ServiceType.LLM_CHAT,
        operation=generation.operation,
        status=_STATUS[generation.state],
        error_reason=generation.failure.reason if generation.failure else "",
        user_id=generation.user_id,
        api_key_id=generation.api_key_id,
        session_id=generation.session_id,
        project=generation.project,
        model=generation.model,
        provider=generation.provider,
        request_id=generation.request_id,
        start_time=generation.create_time,
        latency=max(end - generation.create_time, timedelta()),
        time_to_first_token=time_to_first_token,
        usage=generation.usage or NO_USAGE,
    )


def _answer(generation: Generation, outcome: Outcome, text: str, calls: Sequence[ToolCall]) -> Message | None:
    if outcome.state is not State.COMPLETED and not text and not calls:
        return None
    return Message(
        message_id=generation.message_id,
        role=Role.ASSISTANT,
        parts=(text,) if text else (),
        tool_calls=tuple(calls),
        generation_id=generation.generation_id,
        model=generation.model,
        finish_reason=outcome.finish_reason,
    )


def _estimated(
    generation: Generation, state: State, made: str, calls: Sequence[ToolCall], family: str
) -> Usage:
    # A failure that made nothing is taken to have used nothing; a cancelled call has had its prompt read.
    if not made and not calls and state is not State.COMPLETED and state is not State.CANCELLED:
        return NO_USAGE
    output = estimate_tokens(made, family)
    output += sum(estimate_tokens(call.name + call.arguments, family) for call in calls)
    quantities = {Unit.INPUT_TOKENS: generation.input_tokens_estimate, Unit.OUTPUT_TOKENS: output}
    quantities = {unit: amount for unit, amount in quantities.items() if amount > 0}
    return Usage(quantities, Provenance.ESTIMATED) if quantities else NO_USAGE
