"""Usage that was made up: events of a month by a thousand people, loaded into Analytics' tables, or put into an outbox to be delivered.

Loaded ones are made by the database; the figures of their days are then made anew from them by the store itself, so that they are what an
ingest would have made.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.analytics.model.balances import by_model
from services.analytics.model.events import Series
from services.analytics.model.histogram import bucket_of
from services.analytics.stores.months import EventMonths
from services.analytics.stores.series import SeriesDirectory
from services.analytics.stores.usage import SqlUsageStore
from services.capabilities.metering.mapping import event_to_proto
from services.capabilities.metering.model import (
    Provenance,
    ServiceType,
    Unit,
    Usage,
    UsageEvent,
    UsageStatus,
)
from services.capabilities.metering.ports import Waiting
from services.infra.postgres.database import Database
from services.kernel.ids import new_id

PEOPLE = 1000
MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "llama-3.3-70b",
    "phi-4",
    "mistral-large",
    "deepseek-v3",
    "o4-mini",
    "echo",
)
DAYS = 30
_NAMESPACE = uuid.UUID("0192a5c0-0000-7000-8000-000000000000")
_UNITS = 0b101
_STATUSES = ((UsageStatus.SUCCESS, 94), (UsageStatus.ERROR, 4), (UsageStatus.CANCELLED, 2))

_PICKED = """
create temporary table picked as select series_id, place::int from unnest(%(series)s::bigint[]) with ordinality as given (series_id, place)
"""
# A hundred latencies with their buckets: which of them an event has decides what it used, too.
_LOAD = """
insert into analytics.events (event_id, series_id, ended_at, started_at, latency, first_token, latency_bucket, first_token_bucket,
                              session_id, request_id, input_tokens, output_tokens)
select (lpad(to_hex(ended >> 16), 8, '0') || '-' || lpad(to_hex(ended & 65535), 4, '0') || '-7' || substr(gen_random_uuid()::text, 16))::uuid,
       series_id, to_timestamp(ended / 1000.0), to_timestamp((ended - took[slot] / 1000) / 1000.0),
       took[slot], took[slot] / 10, took_buckets[slot], first_buckets[slot],
       gen_random_uuid()::text, gen_random_uuid()::text, 200 + slot * 7, 20 + slot * 3
from (
    select %(first)s::bigint + i * (%(last)s::bigint - %(first)s::bigint) / %(count)s::bigint as ended,
           1 + floor(100 * random())::int as slot, 1 + floor(%(series_count)s * random() ^ 2)::int as place
    from generate_series(0, %(count)s::bigint - 1) i offset 0
) events
join picked using (place)
cross join (
    select %(took)s::bigint[] as took, %(took_buckets)s::smallint[] as took_buckets, %(first_buckets)s::smallint[] as first_buckets
) given
"""


def person(number: int) -> str:
    """The user_id of one of the people; those with small numbers call most."""
    return str(uuid.uuid5(_NAMESPACE, str(number)))


def all_series() -> list[Series]:
    """What the calls have in common: each person uses two models, and most calls succeed."""
    return [
        Series(
            ServiceType.LLM_CHAT.value,
            "StreamChat",
            MODELS[(number + other) % len(MODELS)],
            ("github", "openai")[(number + other) % 2],
            "",
            status.value,
            "PROVIDER_UNAVAILABLE" if status is UsageStatus.ERROR else "",
            False,
            "",
            Provenance.REPORTED.value,
            _UNITS,
            person(number),
            "",
        )
        for number in range(PEOPLE)
        for other in (0, 3)
        for status, _ in _STATUSES
    ]


def waiting_events(count: int, chance: random.Random) -> list[Waiting]:
    """Events of just now, of the same people, as Chat puts them into its outbox."""
    return [
        Waiting(event.event_id, event_to_proto(event).SerializeToString(deterministic=True))
        for event in _events(count, chance)
    ]


def _events(count: int, chance: random.Random) -> Iterator[UsageEvent]:
    series = all_series()
    weights = [weight for _ in range(len(series) // len(_STATUSES)) for _, weight in _STATUSES]
    now = datetime.now(UTC)
    for one in chance.choices(series, weights, k=count):
        latency = timedelta(microseconds=int(chance.lognormvariate(14, 0.8)))
        yield UsageEvent(
            event_id=new_id(),
            service_type=ServiceType(one.service_type),
            operation=one.operation,
            status=UsageStatus(one.status),
            error_reason=one.error_reason,
            user_id=one.user_id,
            api_key_id="",
            session_id=str(uuid.uuid4()),
            project="",
            model=one.model,
            provider=one.provider,
            request_id=str(uuid.uuid4()),
            start_time=now - latency,
            latency=latency,
            time_to_first_token=latency / 10,
            usage=Usage(
                {
                    Unit.INPUT_TOKENS: chance.randrange(1, 4000),
                    Unit.OUTPUT_TOKENS: chance.randrange(1, 800),
                },
                Provenance.REPORTED,
            ),
        )


@dataclass(frozen=True, slots=True)
class Month:
    """The time that loaded events are of, [start, end), which begins and ends in the middle of minutes."""

    start: datetime
    end: datetime

    @classmethod
    def until_now(cls) -> Month:
        """The last thirty days."""
        end = datetime.now(UTC).replace(second=17, microsecond=123_000) - timedelta(minutes=2)
        return cls(end - timedelta(days=DAYS), end)

    def days(self) -> Iterator[tuple[datetime, datetime]]:
        """Its parts by days in UTC."""
        start = self.start
        while start < self.end:
            end = min(start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1), self.end)
            yield start, end
            start = end


async def load(database: Database, store: SqlUsageStore, month: Month, count: int) -> int:
    """Add about so many events, evenly spread over the month, and make the figures of its days. Returns how many."""
    ids = await SeriesDirectory(database).find(all_series())
    weighted = _weighted([ids[one].series_id for one in all_series()])
    await EventMonths(database).ensure(_micros(month.start), _micros(month.end))
    took = _latencies()
    values = {
        "series_count": len(weighted),
        "took": took,
        "took_buckets": [bucket_of(one) for one in took],
        "first_buckets": [bucket_of(one // 10) for one in took],
    }
    loaded = 0
    async with database.direct() as connection:
        await connection.execute(_PICKED.encode(), {"series": weighted})
        for start, end in month.days():
            part = round(count * ((end - start) / (month.end - month.start)))
            if part:
                span = {"first": _micros(start) // 1000, "last": _micros(end) // 1000, "count": part}
                await connection.execute(_LOAD.encode(), {**values, **span})
                loaded += part
            await store.rebuild(start.date())
        await connection.execute("vacuum analyze")
    return loaded


async def is_balanced(store: SqlUsageStore, month: Month) -> bool:
    """Whether the figures of a day in the middle are those of its events."""
    start = (month.start + timedelta(days=DAYS // 2)).replace(hour=0, minute=0, second=0, microsecond=0)
    said = await store.figure_tallies(start, start + timedelta(days=1), ServiceType.LLM_CHAT)
    return bool(said.events) and said.people == said.events and said.system == by_model(said.events)


def _weighted(series_ids: Sequence[int]) -> list[int]:
    """Each person's series of successes often, the others as often as calls fail; in the order of the people."""
    weights = [weight for _, weight in _STATUSES]
    return [
        series_id
        for place, series_id in enumerate(series_ids)
        for _ in range(weights[place % len(weights)] // 2)
    ]


def _latencies() -> list[int]:
    chance = random.Random(7)
    return [int(chance.lognormvariate(14, 0.8)) for _ in range(100)]


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
