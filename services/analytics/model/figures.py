"""Questions to the store, and the sums that it answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from services.analytics.model.histogram import Histogram


class Dimension(Enum):
    """What figures can be told apart by; the value is the field of Series."""

    SERVICE_TYPE = "service_type"
    OPERATION = "operation"
    MODEL = "model"
    PROVIDER = "provider"
    PROJECT = "project"
    STATUS = "status"
    ERROR_REASON = "error_reason"
    USER = "user_id"
    API_KEY = "api_key_id"
    VARIANT = "variant"
    PROVENANCE = "provenance"


PEOPLE = frozenset({Dimension.USER, Dimension.API_KEY, Dimension.PROJECT})
"""Dimensions that only the figures of people tell apart. Callers name projects as they like, so those of the system would grow with them."""

Value = str | int
"""A value of a dimension: a number for SERVICE_TYPE, STATUS and PROVENANCE, else a text."""


class Piece(NamedTuple):
    """A part of the time that is asked about: [start, end), in UTC and whole milliseconds. `step` is the step of the time series that it belongs
    to, from 0; a step has several pieces where a price changes in it."""

    start: datetime
    end: datetime
    step: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which calls count: those that have, for each dimension, one of the values. `refused` None: both kinds."""

    values: dict[Dimension, tuple[Value, ...]] = field(default_factory=dict)
    refused: bool | None = None

    @property
    def is_of_people(self) -> bool:
        """Whether only the figures of people tell which calls it lets count."""
        return not PEOPLE.isdisjoint(self.values)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the store. `pieces` ascend and do not overlap. `limit`: only the groups with the most events of all pieces together, at most so
    many; None: all."""

    pieces: Sequence[Piece]
    group_by: tuple[Dimension, ...] = ()
    filter: Filter = field(default_factory=Filter)
    limit: int | None = None

    @property
    def is_of_people(self) -> bool:
        """Whether the figures of people have to answer it: those of the system as a whole answer all other questions."""
        return self.filter.is_of_people or not PEOPLE.isdisjoint(self.group_by)


Group = tuple[Value, ...]
"""Values of the dimensions that a question groups by, in its order."""


class Sum(NamedTuple):
    """Calls of one group in one piece that are priced alike. `quantities` are by UNITS, `units` as in Series."""

    piece: int
    group: Group
    model: str
    variant: str
    units: int
    events: int
    success: int
    error: int
    cancelled: int
    refused: int
    quantities: tuple[int, ...]


class Durations(NamedTuple):
    """How long calls of one group took in one step; refused ones do not count."""

    step: int
    group: Group
    latency: Histogram
    first_token: Histogram
