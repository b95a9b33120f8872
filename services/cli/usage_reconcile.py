"""The services' books beside events and figures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import CommandFailed, as_dict, count, note, print_json, print_table
from services.cli.people import emails_of
from services.cli.usage_span import Since, Until, Zone, span_of

if TYPE_CHECKING:
    from antiphon.analytics.v1 import analytics_pb2

    from antiphon_client import Client

MOST_DIFFERENCES = 1000


def reconcile(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what differs: nothing is ever removed.")
    ] = False,
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Compare what the services say they did with the events and the figures, by default of the last day (administrators).

    It ends with 0 when all three agree, and with 1 when they do not; after --repair, when something is left.

    \b
    Examples:
      antiphon usage reconcile
      antiphon usage reconcile --since 7d --repair
    """
    with calling(server, as_json) as client:
        span = span_of(since, until, zone)
        if not as_json and sys.stderr.isatty():
            note("(comparing …)")
        found = client.reconcile(start=span.start, end=span.end, repair=repair)
        if as_json:
            print_json(as_dict(found))
        else:
            _show(client, found.services, repair)
        if not found.services:
            raise CommandFailed(
                "there is no service to compare with",
                "Where Analytics runs apart, its operator names the services that it asks: ANTIPHON_PEERS__CHAT=host:port",
            )
        if not all(each.balanced for each in found.services):
            raise CommandFailed(
                "the books differ" if not repair else "the books still differ",
                "" if repair else "antiphon usage reconcile --repair mends what can be mended.",
                reason="BOOKS_DIFFER",
            )


def _show(client: Client, balances: Sequence[analytics_pb2.ServiceBalance], repaired: bool) -> None:
    if not balances:
        return
    rows = [
        (
            *_kind("balance"),
            _service(balance.service_type),
            "balanced" if balance.balanced else "differs",
            count(balance.service_event_count),
            count(balance.event_count),
            count(balance.figure_event_count),
            count(balance.pending_event_count),
            *((count(balance.redelivered_event_count), count(balance.rebuilt_day_count)) if repaired else ()),
            balance.note,
        )
        for balance in balances
    ]
    mended = ("DELIVERED AGAIN", "DAYS MADE ANEW") if repaired else ()
    headers = ("SERVICE", "BOOKS", "CALLS", "EVENTS", "FIGURES", "ON THEIR WAY", *mended, "NOTE")
    numbers = range(2, len(headers) - 1)
    print_table((*_kind("KIND"), *headers), rows, "", numbers=numbers)
    _show_differences(client, balances)


def _show_differences(client: Client, balances: Sequence[analytics_pb2.ServiceBalance]) -> None:
    from antiphon.usage.v1 import usage_pb2

    from services.cli.figures import tally

    people = dict.fromkeys(each.user_id for balance in balances for each in balance.differences)
    emails = emails_of(client, people)
    rows = [
        (
            *_kind("difference"),
            _service(balance.service_type),
            each.model or _nothing("(no model)"),
            usage_pb2.UsageStatus.Name(each.status).removeprefix("USAGE_STATUS_").lower(),
            emails.get(each.user_id, each.user_id) or _nothing("(anonymous or deleted)"),
            tally(each.service),
            tally(each.events),
            tally(each.figures),
        )
        for balance in balances
        for each in balance.differences
    ]
    if not rows:
        return
    if sys.stdout.isatty():
        print()
    headers = ("SERVICE", "MODEL", "STATUS", "USER", "THE SERVICE SAYS", "EVENTS SAY", "FIGURES SAY")
    print_table((*_kind("KIND"), *headers), rows, "")
    if any(len(balance.differences) >= MOST_DIFFERENCES for balance in balances):
        note(f"(no more than {MOST_DIFFERENCES:,} differences of a service are told)")


def _kind(word: str) -> tuple[str, ...]:
    # In a pipe a line has to say which table it is of.
    return () if sys.stdout.isatty() else (word,)


def _nothing(word: str) -> str:
    return word if sys.stdout.isatty() else ""


def _service(service_type: int) -> str:
    from antiphon.usage.v1 import usage_pb2

    if service_type not in usage_pb2.ServiceType.values():
        return f"service {service_type}"
    name = usage_pb2.ServiceType.Name(usage_pb2.ServiceType.ValueType(service_type))
    return name.removeprefix("SERVICE_TYPE_").lower()
