"""What has to hold of usage: what Chat says = events = figures, to the unit, and what was refused is in events and figures alone."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import datetime

import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from tools.survival.balance import differences, hold_figures, hold_reconciled, told_books
from tools.survival.ledger import Entry, Waiting
from tools.survival.refusals import Refusals
from tools.survival.stage import Deployment, Figures
from tools.survival.usage import Account, Kept, Tally, added, begun

_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 40.0
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
    figures.faults += hold_figures(kept, meter)
    entries = await deployment.ledger.entries()
    async with grpc.aio.insecure_channel(deployment.second.address, _OPTIONS) as channel:
        request = chat_pb2.SummarizeUsageRequest()
        summarize = chat_pb2_grpc.ChatServiceStub(channel).SummarizeUsage
        books = await told_books(summarize, request, deployment.secret, since)
        _hold_books(books, entries, kept, figures)
        figures.faults += await hold_reconciled(channel, deployment.administrator, since, meter)


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


def _hold_books(books: Mapping[Account, Tally], entries: list[Entry], kept: Kept, figures: Figures) -> None:
    """Chat's table, what Chat tells of it, and the events say the same."""
    figures.meter.books = sum(tally[0] for tally in books.values())
    table = added(
        (Account(one.user_id, one.model, one.status, refused=False), (1, *one.quantities)) for one in entries
    )
    figures.faults += differences("chat.generations", table, "SummarizeUsage", books)
    figures.faults += differences("SummarizeUsage", books, "events", begun(kept.events))
