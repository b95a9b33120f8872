"""What has to hold of usage: what Chat says = events = figures, to the unit, and what was refused is in events and figures alone."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from services.analytics.model.events import UNITS
from services.capabilities.identity.providers.service import ServiceTokens
from tools.survival.ledger import Entry, Waiting
from tools.survival.refusals import Refusals
from tools.survival.stage import Deployment, Figures
from tools.survival.usage import Account, Kept, Tally, added, begun, without_people

_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 40.0
_RPC_SECONDS = 60.0
_LAST_REFUSALS = 20
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


async def hold_meter(
    deployment: Deployment, figures: Figures, since: datetime, chance: random.Random
) -> None:
    """Wait until all is delivered, and compare. Nobody is killed any more, so of the calls that are refused now none may be missing."""
    meter, sent = figures.meter, deployment.refusals
    last = Refusals()
    addresses = (deployment.first.address, deployment.second.address)
    await last.call(addresses, deployment.tokens[0], chance, _LAST_REFUSALS, 0.0)
    waiting, kept = await _delivered(deployment, last)
    figures.faults += sent.faults + last.faults
    figures.faults += [f"the usage event {one} was not delivered" for one in waiting.event_ids]
    figures.faults += [f"the usage event {one} was set aside" for one in waiting.set_aside]
    meter.relays.discard("")
    meter.set_aside, meter.rejected = len(waiting.set_aside), kept.rejected
    if kept.rejected:
        figures.faults.append(f"Analytics rejected {kept.rejected} events")
    _hold_refused(sent, last, kept, figures)
    _hold_figures(kept, figures)
    entries = await deployment.ledger.entries()
    async with grpc.aio.insecure_channel(deployment.second.address, _OPTIONS) as channel:
        _hold_books(await _books(channel, deployment, since), entries, kept, figures)
        await _hold_reconciled(channel, deployment, since, figures)


async def _delivered(deployment: Deployment, last: Refusals) -> tuple[Waiting, Kept]:
    """What there is once nothing waits any more and the last refused calls have come, or it has taken too long."""
    end = time.monotonic() + _SETTLE_SECONDS
    while True:
        waiting, kept = await deployment.ledger.waiting(), await deployment.usage.kept()
        if (not waiting.event_ids and last.told <= kept.refused.keys()) or time.monotonic() > end:
            return waiting, kept
        await asyncio.sleep(_POLL_SECONDS)


def _hold_refused(sent: Refusals, last: Refusals, kept: Kept, figures: Figures) -> None:
    """Each was told at most once, and while nobody was killed exactly once."""
    meter = figures.meter
    meter.refused_sent = len(sent.sent) + len(last.sent)
    meter.refused_told = len(sent.told) + len(last.told)
    of_ours = {project: count for project, count in kept.refused.items() if project in sent.sent | last.sent}
    meter.refused_events = sum(of_ours.values())
    figures.faults += [
        f"the refused call of {project!r} was metered {count} times"
        for project, count in of_ours.items()
        if count > 1
    ]
    if len(last.told) < len(last.sent) or not last.told <= kept.refused.keys():
        figures.faults.append(
            f"of {len(last.sent)} calls that were refused in peace, {len(last.told)} were told so"
            f" and {len(last.told & kept.refused.keys())} were metered"
        )
    if not any(project in kept.refused for project in sent.told):
        figures.faults.append("no call that was refused in the rounds was metered")


def _hold_figures(kept: Kept, figures: Figures) -> None:
    """Each table of figures adds up to the events, refused calls and durations included."""
    meter = figures.meter
    meter.events = sum(tally[0] for tally in kept.events.values())
    meter.refused = kept.refused.total()
    meter.figures = [
        sum(tally[0] for tally in table.values()) for table in (*kept.system.values(), *kept.people.values())
    ]
    nobodys = without_people(kept.events)
    for table, accounts in kept.system.items():
        figures.faults += _differences("events", nobodys, table, accounts)
    for table, accounts in kept.people.items():
        figures.faults += _differences("events", kept.events, table, accounts)
    calls: Counter[str] = Counter()
    for account, tally in kept.events.items():
        calls[account.user_id] += tally[0]
    for table, callers in kept.callers.items():
        meter.figures.append(callers.total())
        if callers != calls:
            figures.faults.append(f"events and {table} differ: {dict(calls)}, {dict(callers)}")


def _hold_books(books: Mapping[Account, Tally], entries: list[Entry], kept: Kept, figures: Figures) -> None:
    """Chat's table, what Chat tells of it, and the events say the same."""
    figures.meter.books = sum(tally[0] for tally in books.values())
    table = added(
        (Account(one.user_id, one.model, one.status, refused=False), (1, *one.quantities)) for one in entries
    )
    figures.faults += _differences("chat.generations", table, "SummarizeUsage", books)
    figures.faults += _differences("SummarizeUsage", books, "events", begun(kept.events))


def _differences(
    name: str, one: Mapping[Account, Tally], other_name: str, other: Mapping[Account, Tally]
) -> list[str]:
    return [
        f"{name} and {other_name} differ for {account}: {one.get(account)}, {other.get(account)}"
        for account in sorted(one.keys() | other.keys())
        if one.get(account) != other.get(account)
    ]


async def _books(
    channel: grpc.aio.Channel, deployment: Deployment, since: datetime
) -> Mapping[Account, Tally]:
    request = chat_pb2.SummarizeUsageRequest()
    _set_span(request, since)
    answer = await chat_pb2_grpc.ChatServiceStub(channel).SummarizeUsage(
        request, metadata=ServiceTokens(deployment.secret, "survival").metadata(), timeout=_RPC_SECONDS
    )
    books = {}
    for one in answer.summaries:
        amounts = {int(quantity.unit): quantity.amount for quantity in one.quantities}
        account = Account(one.user_id, one.model, one.status, refused=False)
        books[account] = (one.event_count, *(amounts.get(unit.value, 0) for unit in UNITS))
    return books


async def _hold_reconciled(
    channel: grpc.aio.Channel, deployment: Deployment, since: datetime, figures: Figures
) -> None:
    """The suite itself finds no difference, for an administrator who asks."""
    request = analytics_pb2.ReconcileRequest()
    _set_span(request, since)
    metadata = (("authorization", f"Bearer {deployment.administrator}"),)
    answer = await analytics_pb2_grpc.AnalyticsServiceStub(channel).Reconcile(
        request, metadata=metadata, timeout=_RPC_SECONDS
    )
    for one in answer.services:
        counts = f"{one.service_event_count} = {one.event_count} = {one.figure_event_count}"
        figures.meter.reconciled = f"{counts}, {'balanced' if one.balanced else 'not balanced'}"
        if not one.balanced or one.pending_event_count or one.service_event_count != figures.meter.books:
            figures.faults.append(f"Reconcile tells {counts}, {one.pending_event_count} pending: {one.note}")
    if not answer.services:
        figures.faults.append("Reconcile tells of no service")


def _set_span(request: Any, since: datetime) -> None:
    request.start_time.FromDatetime(since - timedelta(minutes=1))
    request.end_time.FromDatetime(datetime.now(UTC))
