"""The SQL of questions. Each is answered by one statement, so that it sees every event once, folded or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from psycopg import AsyncCursor

from services.analytics.model.figures import Dimension, Durations, Group, Question, Sum
from services.analytics.stores.callers import are_told_by_calls, calls_of
from services.analytics.stores.covering import Coverage
from services.analytics.stores.lanes import HistogramSum
from services.analytics.stores.layout import BUCKET, COUNT, UNIT_COLUMNS
from services.analytics.stores.sources import DURATIONS, SUMS, Conditions, Source, presence, source
from services.infra.postgres.database import Database

# To look a series up costs about as much as to read some dozens of rows.
_FEW_SERIES = 5000


@asynccontextmanager
async def reading(
    database: Database, *, at_one_moment: bool = False, sorting: bool = True
) -> AsyncIterator[AsyncCursor[Any]]:
    """A cursor for a question, or with `at_one_moment` for several whose answers are as of the same moment. Without `sorting`, for those that
    add up what many people did, nothing is sorted that can be hashed. Raises Unavailable."""
    async with database.transaction() as connection:
        if at_one_moment:
            await connection.execute("set transaction isolation level repeatable read")
        # Those who share the pool may have forbidden what is best for much data; to compile or to use the disk takes longer than an answer may.
        await connection.execute(
            """select set_config('enable_seqscan', 'on', true), set_config('jit', 'off', true),
                      set_config('work_mem', '32MB', true), set_config('statement_timeout', '15s', true),
                      set_config('enable_sort', %s, true)""",
            ("on" if sorting else "off",),
        )
        yield connection.cursor(binary=True)


def is_of_leaders(question: Question) -> bool:
    """Whether it is about those who made the most calls, and these can be found beforehand: by another statement, as of the same moment."""
    return (
        question.limit is not None
        and question.group_by == (Dimension.USER,)
        and are_told_by_calls(question.filter)
    )


@dataclass(frozen=True, slots=True)
class Questions:
    """Answers questions with a cursor for reading; `kept` says what there is. All methods raise Unavailable."""

    cursor: AsyncCursor[Any]
    kept: Coverage

    async def sums(self, question: Question, groups: Sequence[Group] | None = None) -> list[Sum]:
        """See `ports.UsageStore`."""
        conditions = Conditions()
        conditions.add_filter(question.filter)
        if groups is not None:
            conditions.add_groups(question.group_by, groups)
            question = replace(question, limit=None)
        elif is_of_leaders(question):
            leaders, series = await self._leaders(question, conditions)
            conditions.add_groups(question.group_by, leaders)
            conditions.is_of_few = series <= _FEW_SERIES
            question = replace(question, limit=None)
        asked = source(question, SUMS, self.kept, conditions, of_people=question.is_of_people)
        rows = await self._rows(asked, _sums(question, asked))
        width = len(question.group_by)
        found = []
        for place, *rest in rows:
            group, numbers = tuple(rest[:width]), rest[width:]
            own, quantities = numbers[: -len(UNIT_COLUMNS)], tuple(numbers[-len(UNIT_COLUMNS) :])
            found.append(Sum._make((place, group, *own, quantities)))
        return found

    async def durations(self, question: Question, groups: Sequence[Group] | None) -> list[Durations]:
        """See `ports.UsageStore`."""
        conditions = Conditions(["not refused"])
        conditions.add_filter(question.filter)
        if groups is not None:
            conditions.add_groups(question.group_by, groups)
        asked = source(
            question, DURATIONS, self.kept, conditions, by_step=True, of_people=question.is_of_people
        )
        steps: dict[tuple[int, Group], tuple[HistogramSum, HistogramSum]] = {}
        for step, kind, buckets, counts, sent, *group in await self._rows(asked, _durations(question, asked)):
            both = steps.setdefault((step, tuple(group)), (HistogramSum(), HistogramSum()))
            if sent is None:
                both[kind].add_counts(zip(buckets, counts, strict=True))
            else:
                both[kind].add_sent(sent)
        return [
            Durations(step, group, latency.counts(), first_token.counts())
            for (step, group), (latency, first_token) in steps.items()
        ]

    async def user_count(self, question: Question) -> int:
        """See `ports.UsageStore`."""
        conditions = Conditions()
        conditions.add_filter(question.filter)
        if are_told_by_calls(question.filter):
            return await self._callers(question, conditions)
        asked = presence(question, self.kept, conditions)
        statement = f"with found as ({asked.found}) select count(distinct user_id) from ({asked.wanted}) there where user_id <> ''"
        await self.cursor.execute(statement.encode(), asked.values, prepare=False)
        (row,) = await self.cursor.fetchall()
        return int(row[0])

    async def _leaders(self, question: Question, conditions: Conditions) -> tuple[list[Group], int]:
        """Who made the most calls, and how many series are theirs."""
        calls = calls_of(question, self.kept, conditions)
        if not calls.sql:
            return [], 0
        wanted = " and ".join(("system_id is not null", *conditions.texts))
        statement = f"""
        with leaders as materialized (
            select user_id from ({calls.sql}) calls group by user_id order by sum(events) desc, user_id limit {question.limit}
        )
        select user_id, (select count(*) from analytics.series s where s.user_id = leaders.user_id and {wanted}) from leaders"""
        await self.cursor.execute(statement.encode(), calls.values, prepare=False)
        rows = await self.cursor.fetchall()
        return [(user_id,) for user_id, _ in rows], sum(series for _, series in rows)

    async def _callers(self, question: Question, conditions: Conditions) -> int:
        """How many people made calls."""
        calls = calls_of(question, self.kept, conditions)
        if not calls.sql:
            return 0
        statement = f"select count(*) from (select from ({calls.sql}) calls where user_id <> '' group by user_id) callers"
        await self.cursor.execute(statement.encode(), calls.values, prepare=False)
        (row,) = await self.cursor.fetchall()
        return int(row[0])

    async def _rows(self, asked: Source, select: str) -> Sequence[Sequence[Any]]:
        if not (asked.found or asked.of_system):
            return ()
        figures = "".join(
            f", {name} as ({sql})"
            for name, sql in (("found", asked.found), ("of_system", asked.of_system))
            if sql
        )
        statement = f"with wanted as materialized ({asked.wanted}){figures} {select}"
        await self.cursor.execute(statement.encode(), asked.values, prepare=False)
        return await self.cursor.fetchall()


def _all_of(asked: Source) -> str:
    """What the question's figures are selected from, a row for each place and series."""
    figures = " union all ".join(
        f"select * from {name}"
        for name, sql in (("found", asked.found), ("of_system", asked.of_system))
        if sql
    )
    # Of numbers there may be many, and texts are few: so they come together late.
    sums = ", ".join(f"sum({column})::bigint as {column}" for column in SUMS)
    return f"select place, series_id, {sums} from ({figures}) figures group by place, series_id"


def _groups(question: Question) -> list[str]:
    return [f"g{place}" for place in range(len(question.group_by))]


def _sums(question: Question, asked: Source) -> str:
    groups = _groups(question)
    keys = ", ".join(("place", *groups, "model", "variant", "units"))
    statuses = ", ".join(
        f"coalesce(sum(events) filter (where {which}), 0)::bigint"
        for which in ("status = 1", "status = 2", "status = 3", "refused")
    )
    units = ", ".join(f"sum({unit})::bigint" for unit in UNIT_COLUMNS)
    summed = f"""
    select {keys}, sum(events)::bigint as events, {statuses}, {units}
    from ({_all_of(asked)}) figures join wanted using (series_id) group by {keys}"""
    if question.limit is None or not groups:
        return summed
    # The largest groups are those of all pieces together.
    names = ", ".join(groups)
    return f"""
    , summed as materialized ({summed}), largest as (
        select {names} from summed group by {names} order by sum(events) desc, {names} limit {int(question.limit)}
    )
    select summed.* from summed join largest using ({names})"""


def _durations(question: Question, asked: Source) -> str:
    """Items are added up here; the histograms of the system's tables are sent as they are, which costs far less."""
    keys = ", ".join(("place", "kind", *_groups(question)))
    groups = "".join(f", {name}" for name in _groups(question))
    selects = []
    if asked.found:
        items = " union all ".join(
            f"""
            select place, {kind} as kind{groups}, {BUCKET} as bucket, sum({COUNT})::bigint as count
            from found join wanted using (series_id) cross join unnest(found.{name}) item group by {keys}, bucket"""
            for kind, name in enumerate(DURATIONS)
        )
        selects.append(
            f"select place, kind, array_agg(bucket), array_agg(count), null::bytea[]{groups} from ({items}) items group by {keys}"
        )
    if asked.of_system:
        histograms = ", ".join(f"({kind}, {name})" for kind, name in enumerate(DURATIONS))
        selects.append(f"""
        select place, kind, null::bigint[], null::bigint[], array_agg(array_send(histogram)){groups}
        from of_system join wanted using (series_id) cross join lateral (values {histograms}) as h (kind, histogram)
        where histogram is not null group by {keys}""")
    return " union all ".join(selects)
