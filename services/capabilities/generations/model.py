"""Generations, as far as they are the same whatever they make."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from services.kernel.failures import Failure


class State(Enum):
    """What has become of a generation; the values are those of the tables."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Generation(Protocol):
    """One call that makes something. `caller` is the claim's, `request_id` empty for a call that has none; `failure` is why it ended, where it
    has failed."""

    @property
    def generation_id(self) -> str: ...

    @property
    def caller(self) -> str: ...

    @property
    def request_id(self) -> str: ...

    @property
    def state(self) -> State: ...

    @property
    def failure(self) -> Failure | None: ...


G = TypeVar("G", bound=Generation)


@dataclass(frozen=True, slots=True)
class End(Generic[G]):
    """How a generation ends without a result. `remove`: objects of it may be in the object store, and are discarded, `again` times more.
    `used` is what it has used until then, in the service's own terms; None when that is not known."""

    generation: G
    state: State
    failure: Failure
    remove: bool
    again: int = 0
    used: object = None
