"""Questions to Analytics, and events as services tell them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.ids import first_id_at, new_id
from tests.fakes.served_suite import SECRET, Person, Served, until

EVERYTHING = ("auth", "chat", "image", "speech", "analytics")


def service_metadata(name: str = "chat") -> tuple[tuple[str, str], ...]:
    """The credential of a service of the deployment."""
    return ServiceTokens(SECRET, name).metadata()


def told(**changes: Any) -> usage_pb2.UsageEvent:
    """An event as Chat tells it, of just now."""
    event = usage_pb2.UsageEvent(
        event_id=new_id(),
        service_type=usage_pb2.SERVICE_TYPE_LLM_CHAT,
        operation="StreamChat",
        status=usage_pb2.USAGE_STATUS_SUCCESS,
        model="gpt-test",
        provider="test",
        quantities=[
            usage_pb2.Quantity(unit=usage_pb2.UNIT_INPUT_TOKENS, amount=100),
            usage_pb2.Quantity(unit=usage_pb2.UNIT_OUTPUT_TOKENS, amount=20),
        ],
        provenance=usage_pb2.PROVENANCE_REPORTED,
    )
    event.latency.FromMilliseconds(1500)
    event.time_to_first_token.FromMilliseconds(200)
    event.start_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=2))
    for name, value in changes.items():
        setattr(event, name, value)
    return event


def told_at(moment: datetime, **changes: Any) -> usage_pb2.UsageEvent:
    """An event of a moment, one of many at the same."""
    # The time of a UUIDv7 is in its first 48 bits, which are 13 characters.
    event = told(event_id=first_id_at(moment)[:15] + new_id()[15:], **changes)
    event.start_time.FromDatetime(moment - timedelta(seconds=2))
    return event


async def record(suite: Served, *events: usage_pb2.UsageEvent) -> analytics_pb2.RecordEventsResponse:
    """Deliver events as a service does."""
    request = analytics_pb2.RecordEventsRequest(events=events)
    response: analytics_pb2.RecordEventsResponse = await suite.analytics.RecordEvents(
        request, metadata=service_metadata()
    )
    return response


async def usage_of(
    suite: Served, person: Person, span: analytics_pb2.TimeSpan | None = None
) -> analytics_pb2.GetUserAnalyticsResponse:
    """What a person used, as the person asks."""
    response: analytics_pb2.GetUserAnalyticsResponse = await suite.analytics.GetUserAnalytics(
        analytics_pb2.GetUserAnalyticsRequest(span=span), metadata=person.metadata
    )
    return response


async def counted(
    suite: Served, person: Person, events: int, seconds: float = 10.0
) -> analytics_pb2.GetUserAnalyticsResponse:
    """The same, as soon as so many events are in it."""

    async def there() -> analytics_pb2.GetUserAnalyticsResponse | None:
        found = await usage_of(suite, person)
        return found if found.totals.event_count >= events else None

    found: analytics_pb2.GetUserAnalyticsResponse = await until(there, seconds)
    assert found.totals.event_count == events
    return found


def amounts(figures: analytics_pb2.Figures | analytics_pb2.Tally) -> Mapping[str, int]:
    """Quantities by the names of their units."""
    return {
        usage_pb2.Unit.Name(one.unit).removeprefix("UNIT_").lower(): one.amount for one in figures.quantities
    }


def shares(found: Any) -> dict[str, int]:
    """How many events each share has."""
    return {share.name: share.figures.event_count for share in found}
