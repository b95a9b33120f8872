"""Reconciliation looks at every table of figures, that of the running day, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.analytics.model.balances import by_model
from services.analytics.stores.layout import SYSTEM_TABLES, USER_TABLES
from services.capabilities.metering.model import ServiceType
from services.infra.postgres.database import Database
from tests.fakes.analytics_events import event, midnight
from tests.fakes.analytics_sql import usage_store


@pytest.mark.parametrize("table", [*USER_TABLES.values(), *SYSTEM_TABLES.values()])
async def test_a_table_that_was_spoilt_is_noticed_and_mended(migrated_url: str, table: str) -> None:
    today = midnight(datetime.now(UTC))
    end = today + timedelta(days=1)
    async with Database(migrated_url) as database:
        store = usage_store(database)
        await store.record([event(datetime.now(UTC), user_id=f"u{number}") for number in range(5)])
        await store.tidy()
        whole = await store.figure_tallies(today, end, ServiceType.LLM_CHAT)
        assert whole.people == whole.events
        assert whole.system == by_model(whole.events)
        async with database.connection() as connection:
            await connection.execute(
                f"update analytics.{table} set output_tokens = output_tokens + 1".encode()
            )
        spoilt = await store.figure_tallies(today, end, ServiceType.LLM_CHAT)
        assert (spoilt.people != spoilt.events) or (spoilt.system != by_model(spoilt.events))
        assert await store.rebuild(today.date())
        assert await store.figure_tallies(today, end, ServiceType.LLM_CHAT) == whole
