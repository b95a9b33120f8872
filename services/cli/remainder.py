"""What totals have more than the rows of a table, so that a table adds up."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.analytics.v1 import analytics_pb2

OTHERS, NO_MODEL = "(others)", "(no model)"


def remainder(
    totals: analytics_pb2.Figures, rows: Sequence[analytics_pb2.Figures]
) -> analytics_pb2.Figures | None:
    """Calls, quantities and cost of what is in no row; None when every call is in one. It has no percentiles: they can't be told apart."""
    rest = analytics_pb2.Figures(
        event_count=_more(totals.event_count, [each.event_count for each in rows]),
        success_count=_more(totals.success_count, [each.success_count for each in rows]),
        error_count=_more(totals.error_count, [each.error_count for each in rows]),
        cancelled_count=_more(totals.cancelled_count, [each.cancelled_count for each in rows]),
        refused_count=_more(totals.refused_count, [each.refused_count for each in rows]),
        unpriced_event_count=_more(totals.unpriced_event_count, [each.unpriced_event_count for each in rows]),
    )
    if not rest.event_count:
        return None
    for quantity in totals.quantities:
        amounts = [used.amount for each in rows for used in each.quantities if used.unit == quantity.unit]
        if amount := _more(quantity.amount, amounts):
            rest.quantities.add(unit=quantity.unit, amount=amount)
    cost = _more(totals.cost_nano_usd, [each.cost_nano_usd for each in rows])
    # Nothing over, and no call that has a price: then nothing is known, which is not zero.
    if totals.HasField("cost_nano_usd") and (cost or rest.unpriced_event_count < rest.event_count):
        rest.cost_nano_usd = cost
    return rest


def _more(whole: int, parts: Sequence[int]) -> int:
    # Costs are rounded each by itself, so that the parts may be more than the whole by a nano-USD or two.
    return max(0, whole - sum(parts))
