"""Figures as people read them, and as columns of a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from antiphon.usage.v1 import usage_pb2

from services.cli.money import dollars, rounded_dollars
from services.cli.output import best, count
from services.cli.quantities import unit_name

if TYPE_CHECKING:
    from antiphon.analytics.v1 import analytics_pb2
    from google.protobuf.duration_pb2 import Duration

UNITS = (
    (usage_pb2.UNIT_INPUT_TOKENS, "INPUT"),
    (usage_pb2.UNIT_CACHED_INPUT_TOKENS, "CACHED"),
    (usage_pb2.UNIT_OUTPUT_TOKENS, "OUTPUT"),
    (usage_pb2.UNIT_REASONING_TOKENS, "REASONING"),
    (usage_pb2.UNIT_IMAGES, "IMAGES"),
    (usage_pb2.UNIT_CHARACTERS, "CHARACTERS"),
    (usage_pb2.UNIT_AUDIO_MILLISECONDS, "AUDIO"),
)


class Column(NamedTuple):
    """A column of figures."""

    header: str
    cell: Callable[[analytics_pb2.Figures], str]


def columns(totals: analytics_pb2.Figures) -> list[Column]:
    """Those that have something to say of figures that add up to `totals`, for a terminal."""
    told = [Column("CALLS", lambda each: f"{each.event_count:,}")]
    if totals.error_count:
        told.append(Column("FAILED", lambda each: f"{each.error_count:,}" if each.error_count else ""))
    used = {each.unit for each in totals.quantities if each.amount}
    told += [Column(header, _amount_told(unit)) for unit, header in UNITS if unit in used]
    told.append(Column("COST", lambda each: cost(each) if each.event_count else ""))
    if totals.latency.count:
        told.append(Column("P50", lambda each: _span_told(each.latency, each.latency.p50)))
        told.append(Column("P99", lambda each: _span_told(each.latency, each.latency.p99)))
    return told


def all_columns() -> list[Column]:
    """All that there are, for a pipe: plain numbers, spans of time in seconds, and nothing where something is not known."""
    return [
        Column("CALLS", lambda each: str(each.event_count)),
        Column("DONE", lambda each: str(each.success_count)),
        Column("FAILED", lambda each: str(each.error_count)),
        Column("CANCELLED", lambda each: str(each.cancelled_count)),
        Column("REFUSED", lambda each: str(each.refused_count)),
        *(Column(header, _amount_plain(unit)) for unit, header in UNITS),
        Column("COST", _cost_plain),
        Column("UNPRICED", lambda each: str(each.unpriced_event_count)),
        *_percentiles_plain(lambda each: each.latency),
        *_percentiles_plain(lambda each: each.time_to_first_token),
    ]


def summary(figures: analytics_pb2.Figures) -> list[tuple[str, str]]:
    """Figures as fields: a name, and what it is."""
    ends = (
        (figures.success_count, "done"),
        (figures.error_count, "failed"),
        (figures.cancelled_count, "cancelled"),
    )
    told = ", ".join(f"{number:,} {word}" for number, word in ends if number)
    if figures.refused_count:
        were = "was" if figures.refused_count == 1 else "were"
        told += f"; {figures.refused_count:,} {were} refused before anything began"
    fields = [("calls", f"{figures.event_count:,}{f' ({told})' if told else ''}")]
    by_unit = sorted(figures.quantities, key=lambda each: each.unit)
    fields += [(_unit_told(each.unit), _amount(each.unit, each.amount)) for each in by_unit if each.amount]
    if figures.event_count:
        unpriced = figures.unpriced_event_count
        without = (
            f" ({unpriced:,} {'call has' if unpriced == 1 else 'calls have'} no price)" if unpriced else ""
        )
        fields.append(("cost", f"{cost(figures)}{without}"))
    for name, spans in (("latency", figures.latency), ("first piece", figures.time_to_first_token)):
        if spans.count:
            fields.append((name, f"p50 {_span(spans.p50)}, p90 {_span(spans.p90)}, p99 {_span(spans.p99)}"))
    return fields


def one_line(figures: analytics_pb2.Figures) -> str:
    """The most of it on one line."""
    calls = f"{figures.event_count:,} {'call' if figures.event_count == 1 else 'calls'}"
    failed = [f"{figures.error_count:,} failed"] if figures.error_count else []
    by_unit = sorted(figures.quantities, key=lambda each: each.unit)
    used = [f"{_amount(each.unit, each.amount)} {_unit_told(each.unit)}" for each in by_unit if each.amount]
    spans = [f"p50 {_span(figures.latency.p50)}"] if figures.latency.count else []
    costs = [cost(figures)] if figures.event_count else []
    return ", ".join((calls, *failed, *used, *costs, *spans))


def cost(figures: analytics_pb2.Figures) -> str:
    """What calls cost, as far as that is known: `$12.40`; `≥ $12.40` when some have no price; `–` when nothing is known."""
    if not figures.HasField("cost_nano_usd"):
        return best("–", "-")
    least = best("≥ ", ">= ") if figures.unpriced_event_count else ""
    return f"{least}{rounded_dollars(figures.cost_nano_usd)}"


def tally(counted: analytics_pb2.Tally) -> str:
    """A number of calls and what they used, such as `12 calls, 340 input tokens`."""
    calls = f"{count(counted.event_count)} {'call' if counted.event_count == 1 else 'calls'}"
    by_unit: Sequence[usage_pb2.Quantity] = sorted(counted.quantities, key=lambda each: each.unit)
    return ", ".join((calls, *(_tallied(each.unit, each.amount) for each in by_unit if each.amount)))


def _tallied(unit: usage_pb2.Unit, amount: int) -> str:
    if sys.stdout.isatty():
        return f"{_amount(unit, amount)} {_unit_told(unit)}"
    return f"{amount} {unit_name(unit)}"


def _amount_of(figures: analytics_pb2.Figures, unit: usage_pb2.Unit) -> int:
    return sum(each.amount for each in figures.quantities if each.unit == unit)


def _amount_told(unit: usage_pb2.Unit) -> Callable[[analytics_pb2.Figures], str]:
    return lambda each: _amount(unit, found) if (found := _amount_of(each, unit)) else ""


def _amount_plain(unit: usage_pb2.Unit) -> Callable[[analytics_pb2.Figures], str]:
    return lambda each: str(_amount_of(each, unit))


def _amount(unit: usage_pb2.Unit, amount: int) -> str:
    if unit != usage_pb2.UNIT_AUDIO_MILLISECONDS:
        return f"{amount:,}"
    minutes, seconds = divmod(-(-amount // 1000), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _unit_told(unit: usage_pb2.Unit) -> str:
    return "audio" if unit == usage_pb2.UNIT_AUDIO_MILLISECONDS else unit_name(unit)


def _cost_plain(figures: analytics_pb2.Figures) -> str:
    return dollars(figures.cost_nano_usd).removeprefix("$") if figures.HasField("cost_nano_usd") else ""


def _percentiles_plain(
    of: Callable[[analytics_pb2.Figures], analytics_pb2.Percentiles],
) -> tuple[Column, Column, Column]:
    def seconds(spans: analytics_pb2.Percentiles, span: Duration) -> str:
        return f"{span.seconds + span.nanos / 1e9:.3f}" if spans.count else ""

    return (
        Column("P50", lambda each: seconds(of(each), of(each).p50)),
        Column("P90", lambda each: seconds(of(each), of(each).p90)),
        Column("P99", lambda each: seconds(of(each), of(each).p99)),
    )


def _span_told(spans: analytics_pb2.Percentiles, span: Duration) -> str:
    return _span(span) if spans.count else ""


def _span(span: Duration) -> str:
    seconds = span.seconds + span.nanos / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
