"""Figures, reports and balances as the contract has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from services.analytics.mapping.names import name_of
from services.analytics.model.balances import Tally
from services.analytics.model.events import UNITS
from services.analytics.model.figures import Dimension, Value
from services.analytics.model.prices import Price
from services.analytics.model.steps import Span
from services.analytics.model.totals import Figures, Percentiles
from services.analytics.usecases.reconcile import Balance
from services.analytics.usecases.reports import Step, Told

# Amounts that nobody has used can cost more than 64 bits hold; then all other figures shall still be told.
_HIGHEST_COST = 2**63 - 1


def figures_to_proto(figures: Figures) -> analytics_pb2.Figures:
    """Some calls added up."""
    message = analytics_pb2.Figures(
        event_count=figures.events,
        success_count=figures.success,
        error_count=figures.error,
        cancelled_count=figures.cancelled,
        refused_count=figures.refused,
        quantities=_quantities(figures.quantities),
        cost_nano_usd=None if figures.cost is None else min(figures.cost, _HIGHEST_COST),
        unpriced_event_count=figures.unpriced,
    )
    _percentiles(message.latency, figures.latency)
    _percentiles(message.time_to_first_token, figures.first_token)
    return message


def span_to_proto(span: Span) -> analytics_pb2.TimeSpan:
    """A span, nothing left out."""
    message = analytics_pb2.TimeSpan(time_zone=span.zone.key, bucket=span.bucket.value)  # type: ignore[arg-type]
    message.start_time.FromDatetime(span.start)
    message.end_time.FromDatetime(span.end)
    return message


def steps_to_proto(steps: Iterable[Step]) -> list[analytics_pb2.Step]:
    """A time series."""
    made = []
    for step in steps:
        message = analytics_pb2.Step(figures=figures_to_proto(step.figures))
        message.start_time.FromDatetime(step.start)
        message.end_time.FromDatetime(step.end)
        made.append(message)
    return made


def shares_to_proto(
    dimension: Dimension, shares: Mapping[Value, Figures] | None
) -> list[analytics_pb2.Share]:
    """Figures by the values of a dimension."""
    return [
        analytics_pb2.Share(name=name_of(dimension, value), figures=figures_to_proto(figures))
        for value, figures in (shares or {}).items()
    ]


def group_to_proto(group_by: Sequence[Dimension], told: Told) -> analytics_pb2.UsageGroup:
    """A combination of values."""
    return analytics_pb2.UsageGroup(
        values=[name_of(dimension, value) for dimension, value in zip(group_by, told.group, strict=True)],
        figures=figures_to_proto(told.figures),
        steps=steps_to_proto(told.steps),
    )


def balance_to_proto(balance: Balance) -> analytics_pb2.ServiceBalance:
    """A service's balance."""
    return analytics_pb2.ServiceBalance(
        service_type=balance.service.value,  # type: ignore[arg-type]
        balanced=not balance.differences,
        service_event_count=balance.books.events,
        event_count=balance.events.events,
        figure_event_count=balance.figures.events,
        pending_event_count=balance.pending,
        differences=[
            analytics_pb2.Difference(
                user_id=one.account.user_id,
                model=one.account.model,
                status=one.account.status,  # type: ignore[arg-type]
                service=_tally(one.service),
                events=_tally(one.events),
                figures=_tally(one.figures),
            )
            for one in balance.differences[:1000]
        ],
        redelivered_event_count=balance.redelivered,
        rebuilt_day_count=balance.rebuilt_days,
        note=balance.note,
    )


def price_to_proto(price: Price) -> analytics_pb2.Price:
    """A price."""
    message = analytics_pb2.Price(
        price_id=price.price_id,
        model=price.model,
        unit=price.unit.value,  # type: ignore[arg-type]
        variant=price.variant,
        nano_usd=price.nano_usd,
        source=price.source.value,  # type: ignore[arg-type]
    )
    message.effective_time.FromDatetime(price.effective_time)
    message.create_time.FromDatetime(price.create_time)
    return message


def _tally(tally: Tally) -> analytics_pb2.Tally:
    return analytics_pb2.Tally(event_count=tally.events, quantities=_quantities(tally.quantities))


def _quantities(amounts: Sequence[int]) -> list[usage_pb2.Quantity]:
    return [
        usage_pb2.Quantity(unit=unit.value, amount=amount)  # type: ignore[arg-type]
        for unit, amount in zip(UNITS, amounts, strict=True)
        if amount
    ]


def _percentiles(message: analytics_pb2.Percentiles, found: Percentiles | None) -> None:
    """Left out where no call has the duration."""
    if found is not None:
        message.count = found.of
        message.p50.FromMicroseconds(found.p50)
        message.p90.FromMicroseconds(found.p90)
        message.p99.FromMicroseconds(found.p99)
