"""Figures on a terminal: a summary, a line of bars, tables; in a pipe a line for each thing that figures are of."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from antiphon.analytics.v1 import analytics_pb2

from services.cli.figures import Column, all_columns, columns, summary
from services.cli.output import best, flat, note, print_fields, print_table
from services.cli.people import emails_of
from services.cli.remainder import NO_MODEL, OTHERS, remainder
from services.cli.sparkline import ASCII, BLOCKS, sparkline
from services.cli.usage_steps import BucketName, calls_of, in_zone, label

if TYPE_CHECKING:
    from antiphon_client import Client

Analytics = analytics_pb2.GetUserAnalyticsResponse | analytics_pb2.GetSystemAnalyticsResponse
Answer = Analytics | analytics_pb2.QueryUsageResponse
Row = tuple[Sequence[str], analytics_pb2.Figures]
"""Names, and the figures of what they name."""

DEFAULT_TOP = 10
"""How many people and models the server tells of everybody's calls when nobody says how many."""

_NOTHING = "nothing was used in this time"
_BARS = "calls over time"


class Report:
    """Shows what an administrator, or somebody for themselves, was answered."""

    def __init__(self, client: Client, zone: tzinfo, bucket: BucketName, *, with_steps: bool) -> None:
        """`with_steps`: whether a terminal is shown a table of the steps in time. Their line of bars it is shown in any case."""
        self._client = client
        self._zone = zone
        self._bucket = bucket
        self._with_steps = with_steps
        self._on_terminal = sys.stdout.isatty()

    def show(self, answer: Answer, by: Sequence[str], limit: int | None) -> None:
        """Prints an answer. `by` are the dimensions that were asked for, empty for none; of one's own no more than `limit` rows."""
        if self._on_terminal:
            self._summary(answer)
        if isinstance(answer, analytics_pb2.QueryUsageResponse):
            self._groups(answer, by)
        elif by:
            shares = _shares(_models_of(answer) if by[0] == "model" else answer.services)[:limit]
            self._table(by, [*shares, *self._rest(by[0], shares, answer.totals, limit)], answer.totals)
        elif self._on_terminal:
            self._read_by_people(answer, limit)
        else:
            self._read_by_programs(answer, limit)
        _note_unpriced(answer)

    def _summary(self, answer: Answer) -> None:
        span = (answer.span.start_time, answer.span.end_time)
        begin, end = (f"{in_zone(moment, self._zone):%Y-%m-%d %H:%M}" for moment in span)
        fields = [("time", f"{begin} to {end} ({self._zone})"), *summary(answer.totals)]
        if isinstance(answer, analytics_pb2.GetSystemAnalyticsResponse):
            fields.append(("people", f"{answer.user_count:,}"))
            rejected = answer.rejected_event_count
            fields.append(
                ("rejected", f"{rejected:,} bad events: antiphon usage rejected" if rejected else "")
            )
        if not isinstance(answer, analytics_pb2.QueryUsageResponse):
            calls = calls_of(answer.steps)
            if len(calls) > 1 and any(calls):
                width = shutil.get_terminal_size().columns - len(_BARS) - 3
                fields.append((_BARS, sparkline(calls, width, best(BLOCKS, ASCII))))
        print_fields(fields)

    def _read_by_people(self, answer: Analytics, limit: int | None) -> None:
        tables: list[tuple[str, list[Row]]] = []
        if self._with_steps:
            tables.append((self._bucket, [row for row in self._steps(answer.steps) if row[1].event_count]))
        if isinstance(answer, analytics_pb2.GetSystemAnalyticsResponse):
            tables += [("model", self._models(answer, limit)), ("user", self._users(answer, limit))]
        for header, rows in tables:
            if rows:
                self._table((header,), rows, answer.totals)

    def _read_by_programs(self, answer: Analytics, limit: int | None) -> None:
        kinds: tuple[tuple[str, list[Row]], ...] = (
            ("total", [(("",), answer.totals)]),
            ("service", _shares(answer.services)),
            ("model", self._models(answer, limit)),
            ("user", self._users(answer, limit)),
            (self._bucket, self._steps(answer.steps)),
        )
        rows: list[Row] = [((kind, *names), figures) for kind, found in kinds for names, figures in found]
        self._table(("what", "name"), rows, answer.totals)

    def _groups(self, answer: analytics_pb2.QueryUsageResponse, by: Sequence[str]) -> None:
        groups = answer.groups
        if "user" in by:
            place = by.index("user")
            emails = emails_of(self._client, dict.fromkeys(group.values[place] for group in groups))
            for group in groups:
                group.values[place] = emails.get(group.values[place], group.values[place])
        if self._bucket is BucketName.NONE:
            rows: list[Row] = [(group.values, group.figures) for group in groups]
            self._table(by, rows, answer.totals)
        else:
            rows = [
                ((*group.values, *names), figures)
                for group in groups
                for names, figures in self._steps(group.steps)
            ]
            self._table((*by, self._bucket), rows, answer.totals)
        if answer.more_groups:
            note("(there are more; --limit shows them)")

    def _steps(self, steps: Iterable[analytics_pb2.Step]) -> list[Row]:
        return [
            (
                (label(step.start_time, self._bucket, self._zone, exact=not self._on_terminal),),
                step.figures,
            )
            for step in steps
        ]

    def _models(self, answer: Analytics, limit: int | None) -> list[Row]:
        """The models, and what is in no row of them."""
        system = isinstance(answer, analytics_pb2.GetSystemAnalyticsResponse)
        rows = _shares(_models_of(answer))
        most = (limit or DEFAULT_TOP) if system else None
        return [*rows, *self._rest("model", rows, answer.totals, most)]

    def _users(self, answer: Analytics, limit: int | None) -> list[Row]:
        """The people, and what is in no row of them: nobody's calls, too. One's own figures are nobody else's."""
        if not isinstance(answer, analytics_pb2.GetSystemAnalyticsResponse):
            return []
        emails = emails_of(self._client, (share.name for share in answer.top_users))
        rows: list[Row] = [
            ((emails.get(share.name, share.name),), share.figures) for share in answer.top_users
        ]
        return [*rows, *self._rest("user", rows, answer.totals, limit or DEFAULT_TOP)]

    def _rest(
        self, dimension: str, rows: Sequence[Row], totals: analytics_pb2.Figures, most: int | None
    ) -> list[Row]:
        rest = remainder(totals, [figures for _, figures in rows])
        if rest is None:
            return []
        # Where there was room for more rows, nothing is left but calls that have no model.
        nameless = dimension == "model" and (most is None or len(rows) < most)
        return [((NO_MODEL if nameless else OTHERS,), rest)]

    def _table(self, names: Sequence[str], rows: Sequence[Row], totals: analytics_pb2.Figures) -> None:
        if self._on_terminal:
            print()
        told: list[Column] = columns(totals) if self._on_terminal else all_columns()
        cells = [
            (
                *(name or self._nameless(header) for header, name in zip(names, of, strict=True)),
                *(column.cell(figures) for column in told),
            )
            for of, figures in rows
        ]
        headers = (*(name.upper() for name in names), *(column.header for column in told))
        print_table(headers, cells, _NOTHING, numbers=range(len(names), len(headers)))

    def _nameless(self, dimension: str) -> str:
        # In a pipe nothing stays nothing.
        if not self._on_terminal:
            return ""
        return "(anonymous or deleted)" if dimension == "user" else "(none)"


def _shares(shares: Iterable[analytics_pb2.Share]) -> list[Row]:
    return [((share.name,), share.figures) for share in shares]


def _models_of(answer: Analytics) -> Sequence[analytics_pb2.Share]:
    if isinstance(answer, analytics_pb2.GetSystemAnalyticsResponse):
        return answer.top_models
    return answer.models


def _note_unpriced(answer: Answer) -> None:
    count = answer.totals.unpriced_event_count
    if not count:
        return
    models: list[str] = []
    if not isinstance(answer, analytics_pb2.QueryUsageResponse):
        models = [flat(share.name) for share in _models_of(answer) if share.figures.unpriced_event_count]
    calls = "1 call has no price, and is" if count == 1 else f"{count:,} calls have no price, and are"
    named = f": {', '.join(models)}" if models else ""
    note(f"({calls} in no cost{named})")
    note("(administrators set one: antiphon prices set MODEL UNIT USD)")
