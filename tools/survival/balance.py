"""Books, events and figures held against each other, whichever service the calls are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import grpc
from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc

from services.analytics.model.events import UNITS
from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.secret import DeploymentSecret
from tools.survival.stage import Meter
from tools.survival.usage import Account, Kept, Tally, without_people

_RPC_SECONDS = 60.0


class Ended(Protocol):
    """A generation that has ended."""

    @property
    def event_id(self) -> str | None:
        """Of its usage event."""
        ...


def hold_figures(kept: Kept, meter: Meter) -> list[str]:
    """Each table of figures adds up to the events, refused calls and durations included; what does not."""
    faults = []
    meter.events = sum(tally[0] for tally in kept.events.values())
    meter.refused = kept.refused.total()
    meter.figures = [
        sum(tally[0] for tally in table.values()) for table in (*kept.system.values(), *kept.people.values())
    ]
    nobodys = without_people(kept.events)
    for table, accounts in kept.system.items():
        faults += differences("events", nobodys, table, accounts)
    for table, accounts in kept.people.items():
        faults += differences("events", kept.events, table, accounts)
    calls: Counter[str] = Counter()
    for account, tally in kept.events.items():
        calls[account.user_id] += tally[0]
    for table, callers in kept.callers.items():
        meter.figures.append(callers.total())
        if callers != calls:
            faults.append(f"events and {table} differ: {dict(calls)}, {dict(callers)}")
    return faults


def hold_events(generations: Sequence[Ended], kept: Kept) -> list[str]:
    """Each generation has one usage event, and no other is there."""
    owned = Counter(one.event_id for one in generations)
    faults = [f"{owned.pop(None)} generations have no usage event"] if None in owned else []
    faults += [
        f"the usage event {one} belongs to {count} generations" for one, count in owned.items() if count > 1
    ]
    if missing := owned.keys() - kept.event_ids:
        faults.append(f"{len(missing)} usage events have not come to Analytics")
    if foreign := kept.event_ids - owned.keys():
        faults.append(f"{len(foreign)} usage events belong to no generation")
    return faults


def differences(
    name: str, one: Mapping[Account, Tally], other_name: str, other: Mapping[Account, Tally]
) -> list[str]:
    """Of which accounts the two say different things."""
    return [
        f"{name} and {other_name} differ for {account}: {one.get(account)}, {other.get(account)}"
        for account in sorted(one.keys() | other.keys())
        if one.get(account) != other.get(account)
    ]


async def told_books(
    summarize: Callable[..., Awaitable[Any]], request: Any, secret: DeploymentSecret, since: datetime
) -> Mapping[Account, Tally]:
    """What a service tells of its calls since then: `summarize` is its SummarizeUsage, and `request` an empty one."""
    _set_span(request, since)
    metadata = ServiceTokens(secret, "survival").metadata()
    answer = await summarize(request, metadata=metadata, timeout=_RPC_SECONDS)
    books = {}
    for one in answer.summaries:
        amounts = {int(quantity.unit): quantity.amount for quantity in one.quantities}
        account = Account(one.user_id, one.model, one.status, refused=False)
        books[account] = (one.event_count, *(amounts.get(unit.value, 0) for unit in UNITS))
    return books


async def hold_reconciled(
    channel: grpc.aio.Channel, administrator: str, since: datetime, meter: Meter
) -> list[str]:
    """The suite itself finds no difference, for an administrator who asks; what it finds instead."""
    request = analytics_pb2.ReconcileRequest()
    _set_span(request, since)
    answer = await analytics_pb2_grpc.AnalyticsServiceStub(channel).Reconcile(
        request, metadata=(("authorization", f"Bearer {administrator}"),), timeout=_RPC_SECONDS
    )
    # Of services that nobody called here there is nothing to be told.
    found = [one for one in answer.services if one.service_event_count or one.event_count or one.note]
    faults = [] if found else ["Reconcile tells of no service"]
    for one in found:
        counts = f"{one.service_event_count} = {one.event_count} = {one.figure_event_count}"
        meter.reconciled = f"{counts}, {'balanced' if one.balanced else 'not balanced'}"
        if not one.balanced or one.pending_event_count or one.service_event_count != meter.books:
            faults.append(f"Reconcile tells {counts}, {one.pending_event_count} pending: {one.note}")
    return faults


def _set_span(request: Any, since: datetime) -> None:
    request.start_time.FromDatetime(since - timedelta(minutes=1))
    request.end_time.FromDatetime(datetime.now(UTC))
