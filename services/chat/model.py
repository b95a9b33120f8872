"""The words of Chat: sessions, messages, generations and the events of their records, as values that can't be built wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.capabilities.metering.model import Usage
from services.kernel.failures import Failure

_TITLE_LENGTH = 60
# What is behind them makes no title.
_TITLED = 10_000
# Control characters, and the embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX #9).
_STEERING = r"\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class State(StrEnum):
    """How far a generation has come."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    CANCELLED = "cancelled"


class OnDisconnect(StrEnum):
    """What happens to a generation that nobody watches any more."""

    STOP = "stop"
    CONTINUE = "continue"


class Capability(StrEnum):
    """What a model can do beyond text."""

    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    VISION = "vision"
    REASONING = "reasoning"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish that a function be run; `arguments` is JSON as the model wrote it."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; `parameters` is a JSON schema, empty for none."""

    name: str
    description: str
    parameters: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture by where it is: an image of the image service's, or the address of a public one. Never the picture itself.

    What a request says of it beside that is not kept: `owner_token`, with which it is somebody's who has no account, and `path`, the field
    that it is in, empty for what was read from a store.
    """

    image_id: str = ""
    uri: str = ""
    owner_token: str = field(default="", compare=False, repr=False)
    path: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if bool(self.image_id) == bool(self.uri):
            raise ValueError("an image has an id or an address")


Part = str | Image


@dataclass(frozen=True, slots=True)
class Picture:
    """What a model is shown: a file and its media type."""

    data: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: its texts and pictures in order, as `parts`."""

    message_id: str
    role: Role
    parts: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    session_id: str = ""
    generation_id: str = ""
    model: str = ""
    finish_reason: FinishReason | None = None
    create_time: datetime | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The parts that are texts."""
        return tuple([part for part in self.parts if isinstance(part, str)])

    @property
    def text(self) -> str:
        """All of them as one text."""
        return "".join(self.texts)

    @property
    def images(self) -> tuple[Image, ...]:
        """The parts that are pictures."""
        return tuple([part for part in self.parts if isinstance(part, Image)])


def title_of(text: str) -> str:
    """A session's title from its first message: its first words, in one line."""
    line = re.sub(rf"[\s{_STEERING}]+", " ", text[:_TITLED]).strip()
    if len(line) <= _TITLE_LENGTH:
        return line
    cut = line[:_TITLE_LENGTH]
    return (cut[: cut.rfind(" ")] if " " in cut[_TITLE_LENGTH // 2 :] else cut) + "…"


def steering_character(title: str) -> str | None:
    """The first character of a title that would steer the terminal of whoever reads it, or turn the line around; None when it has none."""
    found = re.search(f"[{_STEERING}]", title)
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Session:
    """A chat of one person."""

    session_id: str
    user_id: str
    title: str
    project: str
    model: str
    system_prompt: str
    archived: bool
    create_time: datetime
    update_time: datetime
    forked_from_session_id: str = ""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What shapes an answer; None leaves it to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: str | None = None


# The events of a record. Deltas of the same kind are merged before they are recorded.


@dataclass(frozen=True, slots=True)
class Started:
    """Always the first event."""

    generation_id: str
    session_id: str
    message_id: str
    model: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call; id and name come with its first delta."""

    index: int
    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """Another model answers than `Started` said: before the first delta, once for each model that failed. `reason` is why `failed_model` did."""

    model: str
    provider: str
    failed_model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a generation that ended well or was cancelled."""

    reason: FinishReason
    message_id: str
    usage: Usage


Delta = TextDelta | ReasoningDelta | ToolCallDelta
Body = Started | Fallback | Delta | Finished


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of a record: it covers the positions `first_seq` to `seq`."""

    first_seq: int
    seq: int
    time: datetime
    body: Body

    def __post_init__(self) -> None:
        if not 1 <= self.first_seq <= self.seq:
            raise ValueError(f"an event can't cover {self.first_seq} to {self.seq}")


@dataclass(frozen=True, slots=True)
class Generation:
    """The making of one answer, as far as it has come. `model` and `provider` are those that answer, `requested_model` was asked first.
    `forgotten` says that its session was deleted: it is nobody's to see, though it may still run."""

    generation_id: str
    session_id: str
    message_id: str
    request_id: str
    user_id: str
    project: str
    model: str
    provider: str
    state: State
    create_time: datetime
    last_seq: int = 1
    finish_reason: FinishReason | None = None
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    end_time: datetime | None = None
    failure: Failure | None = None
    events_pruned: bool = False
    operation: str = ""
    api_key_id: str = ""
    input_tokens_estimate: int = 0
    requested_model: str = ""
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """A process's right to write records. Raising the epoch in the store takes it away."""

    owner_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ChatCall:
    """What a caller asks for, checked for form. `digest` identifies the body, without its request_id.

    Either `message` or `conversation` is set; `images` go with `message`.
    """

    operation: str
    request_id: str
    digest: bytes
    session_id: str
    project: str
    model: str
    message: str | None
    conversation: tuple[Message, ...]
    system_prompt: str
    parameters: Parameters
    tools: tuple[Tool, ...]
    on_disconnect: OnDisconnect | None
    disconnect_grace: timedelta | None
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """All that is stored before the provider is called, in one step.

    `session` is set when this call opens it. `user_message` is set when the call adds one to a session. `title` is for a session that
    was there before and has none.
    """

    generation: Generation
    caller: str
    digest: bytes
    session: Session | None
    user_message: Message | None
    started: Event
    title: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ended: what its final, atomic write stores.

    `message` is the answer, as far as it was made; None when nothing was. `last_events` are those that are not on record yet,
    `finished` among them when there is one. `free_claim` lets the request_id be used again. `model` and `provider` are those that
    answered.
    """

    state: State
    finish_reason: FinishReason | None
    failure: Failure | None
    usage: Usage
    message: Message | None
    last_events: Sequence[Event]
    last_seq: int
    reasoning: str
    end_time: datetime
    free_claim: bool
    model: str
    provider: str
