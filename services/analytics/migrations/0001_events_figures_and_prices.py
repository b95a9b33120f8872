"""Events, the figures that they add up to, bad items, prices, limits, and how far the deletions of people have been followed."""

from __future__ import annotations

from alembic import op

from services.capabilities.identity import deletions
from services.capabilities.limits import ddl as limits

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UNITS = (
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "images",
    "characters",
    "audio_milliseconds",
)

# Durations are counted by their buckets. Of people and in `unfolded`, where few have any, an item is (count << 11 | bucket), and a bucket may
# stand in several items. Of the system, where most have some, there are the first bucket and the counts from that one on.
_FIGURES = f"""
    interval_start timestamptz not null,
    series_id bigint not null,
    events bigint not null,
    {", ".join(f"{unit} bigint not null" for unit in _UNITS)},
    latency bigint[],
    first_token bigint[]
"""


def upgrade() -> None:
    # What calls have in common. The digest is that of the whole row: an index over a dozen texts would be too wide. `used_at` is when a
    # process last looked it up, to a day.
    op.execute("""
        create table analytics.series (
            series_id bigint generated always as identity primary key,
            digest bytea not null unique,
            system_id bigint,
            service_type smallint not null,
            operation text not null,
            model text not null,
            provider text not null,
            project text not null,
            status smallint not null,
            error_reason text not null,
            refused boolean not null,
            variant text not null,
            provenance smallint not null,
            units smallint not null,
            user_id text,
            api_key_id text,
            forgotten boolean not null default false,
            used_at timestamptz not null default now()
        )
    """)
    # Those of nobody are looked up as those of somebody are.
    op.execute("create index idx_series_user_id on analytics.series (user_id) where user_id is not null")
    op.execute("create index idx_series_api_key_id on analytics.series (api_key_id) where api_key_id <> ''")
    # Questions about the system as a whole look at its few series only, which stay as long as others belong to them.
    op.execute("create index idx_series_system on analytics.series (series_id) where system_id is null")
    op.execute(
        "create index idx_series_system_id on analytics.series (system_id) where system_id is not null"
    )

    # A month each; the partitions are made when they are needed. Quantities that were not used are null.
    op.execute(f"""
        create table analytics.events (
            event_id uuid not null,
            series_id bigint not null,
            ended_at timestamptz not null,
            started_at timestamptz not null,
            latency bigint not null,
            first_token bigint,
            latency_bucket smallint,
            first_token_bucket smallint,
            session_id text not null,
            request_id text not null,
            {", ".join(f"{unit} bigint" for unit in _UNITS)},
            primary key (event_id)
        ) partition by range (event_id)
    """)
    op.execute("create index idx_events_series_id on analytics.events (series_id, event_id)")
    op.execute("""
        create table analytics.kept (
            only_one boolean primary key default true check (only_one),
            events_from timestamptz not null
        )
    """)
    op.execute("insert into analytics.kept (events_from) values ('-infinity')")

    # What batches add up to, by minute, until it is folded into the figures.
    op.execute(f"create table analytics.unfolded ({_FIGURES}, system_id bigint not null)")
    op.execute("create index idx_unfolded on analytics.unfolded (interval_start, series_id)")
    op.execute("""
        alter table analytics.unfolded
        set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1)
    """)
    for table in ("system_minutes", "system_quarters", "system_hours", "system_days"):
        op.execute(
            f"create table analytics.{table} ({_FIGURES}, primary key (interval_start, series_id)) with (fillfactor = 70)"
        )
    for table in ("user_quarters", "user_days"):
        op.execute(
            f"create table analytics.{table} ({_FIGURES}, primary key (series_id, interval_start)) with (fillfactor = 85)"
        )
        op.execute(f"create index idx_{table}_interval_start on analytics.{table} (interval_start)")
    # How many calls people made, user_id being empty for those of nobody: who called most, and how many called, is found in these.
    # Those of now are all changed with every fold, and have the room for it on their pages.
    for table in ("caller_hours", "caller_days"):
        op.execute(f"""
            create table analytics.{table} (
                interval_start timestamptz not null,
                service_type smallint not null,
                user_id text not null,
                events bigint not null,
                primary key (interval_start, service_type, user_id)
            ) with (fillfactor = 50)
        """)
        op.execute(f"create index idx_{table}_user_id on analytics.{table} (user_id) where user_id <> ''")
    op.execute("""
        create function analytics.histogram(items bigint[]) returns bigint[] language sql immutable parallel safe as $$
            with counts as (
                select (item & 2047)::int as bucket, sum(item >> 11)::bigint as count from unnest(items) item group by 1
            )
            select array[min(bucket)::bigint] || array_agg(coalesce(count, 0) order by bucket)
            from generate_series((select min(bucket) from counts), (select max(bucket) from counts)) bucket
            left join counts using (bucket)
            having count(*) > 0
        $$
    """)
    op.execute("""
        create function analytics.added(one bigint[], other bigint[]) returns bigint[] language sql immutable parallel safe as $$
            select case when one is null then other when other is null then one else (
                select array[min(bucket)] || array_agg(
                    case when bucket >= one[1] then coalesce(one[(bucket - one[1] + 2)::int], 0) else 0 end
                    + case when bucket >= other[1] then coalesce(other[(bucket - other[1] + 2)::int], 0) else 0 end
                    order by bucket
                )
                from generate_series(
                    least(one[1], other[1]),
                    greatest(one[1] + cardinality(one) - 2, other[1] + cardinality(other) - 2)
                ) bucket
            ) end
        $$
    """)
    op.execute(
        "create aggregate analytics.joined (bigint[]) (sfunc = array_cat, stype = bigint[], parallel = safe)"
    )

    # People who were deleted, by a digest; the series that were theirs, for as long as something of them may still come in.
    op.execute("""
        create table analytics.forgotten (
            user_digest bytea primary key,
            series_ids bigint[] not null,
            forgotten_at timestamptz not null default now()
        )
    """)

    op.execute("""
        create table analytics.rejected_events (
            rejected_event_id uuid primary key,
            digest bytea not null unique,
            source text not null,
            payload bytea not null,
            user_digest bytea,
            violations jsonb not null,
            received_at timestamptz not null,
            count bigint not null
        )
    """)
    op.execute(
        "create index idx_rejected_events_user on analytics.rejected_events (user_digest) where user_digest is not null"
    )
    op.execute("create index idx_rejected_events_received_at on analytics.rejected_events (received_at)")

    op.execute("""
        create table analytics.prices (
            price_id uuid primary key,
            model text not null,
            unit smallint not null,
            variant text not null,
            nano_usd bigint,
            effective_at timestamptz not null,
            source smallint not null,
            created_at timestamptz not null,
            unique (model, unit, variant, effective_at)
        )
    """)
    for statement in (*limits.ddl("analytics"), *deletions.ddl("analytics")):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "deletions",
        "limits",
        "prices",
        "rejected_events",
        "forgotten",
        "caller_days",
        "caller_hours",
        "user_days",
        "user_quarters",
        "system_days",
        "system_hours",
        "system_quarters",
        "system_minutes",
        "unfolded",
        "kept",
        "events",
        "series",
    ):
        op.execute(f"drop table analytics.{table}")
    op.execute("drop aggregate analytics.joined (bigint[])")
    op.execute("drop function analytics.added, analytics.histogram")
