"""The promises of `ports.sessions.LoginAttempts`, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.model.sessions import DelayRule, counted_address
from services.auth.ports.sessions import LoginAttempts
from services.auth.stores.login_attempts import SqlLoginAttempts
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from tests.fakes.auth_memory import Memory
from tests.fakes.auth_memory_attempts import MemoryLoginAttempts

KEY = b"k" * 32
FREE, LONGEST = 5, 60.0
ANA, BOB = "ana@example.com", "bob@example.com"
HOME, OFFICE = "192.0.2.1", "192.0.2.2"
DELAYS = [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


@dataclass
class Counters:
    """The counters of two processes over one store, whose time a test can let pass."""

    one: LoginAttempts
    two: LoginAttempts
    state: Any

    async def wait(self, seconds: float) -> None:
        if isinstance(self.state, Memory):
            self.state.later += timedelta(seconds=seconds)
            return
        async with self.state.connection() as connection:
            await connection.execute(
                "update auth.login_failures set failed_at = failed_at - %(past)s,"
                " delayed_until = delayed_until - %(past)s",
                {"past": timedelta(seconds=seconds)},
            )

    async def fail(self, times: int, account: str = ANA, address: str = HOME) -> None:
        """Fail that often, patiently."""
        for _ in range(times):
            await self.wait(await self.one.delay(account, address) + 0.01)
            assert await self.one.failed(account, address) == 0


@pytest.fixture(params=["memory", "postgres"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    if request.param == "memory":
        memory = Memory()
        attempts = MemoryLoginAttempts(memory, FREE, LONGEST)
        yield Counters(attempts, attempts, memory)
        return
    url = request.getfixturevalue("migrated_url")
    async with Database(url, min_size=1, max_size=6) as one, Database(url, min_size=1, max_size=6) as two:
        yield Counters(
            SqlLoginAttempts(one, KEY, FREE, LONGEST), SqlLoginAttempts(two, KEY, FREE, LONGEST), one
        )


async def test_the_fifth_failure_delays_by_a_second_and_each_further_one_doubles_it(
    counters: Counters,
) -> None:
    for expected in DELAYS:
        await counters.fail(1)
        for attempts in (counters.one, counters.two):
            delay = await attempts.delay(ANA, HOME)
            assert (delay == 0) if expected == 0 else (expected - 1 < delay <= expected)


async def test_account_and_address_are_counted_each_for_itself(counters: Counters) -> None:
    await counters.fail(3, ANA, HOME)
    await counters.fail(3, ANA, OFFICE)
    assert await counters.one.delay(ANA, "192.0.2.9") > 0
    assert await counters.one.delay(BOB, HOME) == await counters.one.delay(BOB, OFFICE) == 0
    await counters.fail(2, BOB, HOME)
    assert await counters.one.delay("cem@example.com", HOME) > 0
    assert await counters.one.delay(BOB, OFFICE) == 0


async def test_a_call_without_an_address_counts_for_its_account_alone(counters: Counters) -> None:
    await counters.fail(5, ANA, "")
    assert await counters.one.delay(ANA, "") > 0
    assert await counters.one.delay(BOB, "") == 0


async def test_addresses_of_one_ipv6_network_count_together(counters: Counters) -> None:
    for number in range(5):
        await counters.fail(1, f"{number}@example.com", f"2001:db8:1:2::{number}")
    assert await counters.one.delay(BOB, "2001:db8:1:2:ffff::1") > 0
    assert await counters.one.delay(BOB, "2001:db8:1:3::1") == 0


async def test_what_fails_during_a_delay_is_told_and_not_counted(counters: Counters) -> None:
    await counters.fail(5)
    for _ in range(10):
        assert 0 < await counters.two.failed(ANA, HOME) <= 1
    await counters.wait(1.01)
    assert await counters.one.delay(ANA, HOME) == 0
    assert await counters.one.failed(ANA, HOME) == 0
    assert 1 < await counters.one.delay(ANA, HOME) <= 2


async def test_a_login_forgets_the_failures_of_its_account_and_not_those_of_its_address(
    counters: Counters,
) -> None:
    await counters.fail(4)
    assert await counters.two.succeeded(ANA, HOME) == 0
    await counters.fail(4, ANA, OFFICE)
    assert await counters.one.delay(ANA, "") == 0
    await counters.fail(1, BOB, HOME)
    assert await counters.one.delay("cem@example.com", HOME) > 0


async def test_a_reset_account_is_forgotten_with_its_delay(counters: Counters) -> None:
    await counters.fail(6)
    await counters.two.forget(ANA)
    assert await counters.one.delay(ANA, "") == 0
    await counters.fail(4, ANA, OFFICE)
    assert await counters.one.delay(ANA, "") == 0


@pytest.mark.parametrize("whose", [(ANA, OFFICE), (BOB, HOME)], ids=["account", "address"])
async def test_a_right_password_is_worth_nothing_once_others_have_brought_a_delay(
    counters: Counters, whose: tuple[str, str]
) -> None:
    await counters.fail(5, *whose)
    assert 0 < await counters.two.succeeded(ANA, HOME) <= 1
    await counters.wait(1.01)
    await counters.fail(1, *whose)
    assert 1 < await counters.one.delay(ANA, HOME) <= 2


async def test_a_quarter_of_an_hour_after_the_last_one_failures_are_forgotten(counters: Counters) -> None:
    await counters.fail(7)
    await counters.wait(901)
    await counters.fail(4)
    assert await counters.one.delay(ANA, HOME) == 0
    await counters.wait(890)
    await counters.fail(1)
    assert await counters.one.delay(ANA, HOME) > 0


async def test_forty_wrong_passwords_at_once_are_looked_at_as_if_they_came_one_by_one(
    counters: Counters,
) -> None:
    began = time.monotonic()
    both = (counters.one, counters.two)
    answers = await asyncio.gather(*(both[n % 2].failed(ANA, HOME) for n in range(40)))
    # The first delay lasts a second, and the next one two.
    assert answers.count(0) <= 5 + (time.monotonic() - began)
    assert all(0 <= answer <= 2 for answer in answers)


async def test_many_accounts_and_addresses_at_once_are_all_counted(counters: Counters) -> None:
    both = (counters.one, counters.two)
    pairs = [(f"{n % 4}@example.com", f"192.0.2.{n % 3}") for n in range(48)]
    await asyncio.gather(*(both[n % 2].failed(*pair) for n, pair in enumerate(pairs)))
    delays = await asyncio.gather(*(counters.one.delay(f"{n}@example.com", "") for n in range(4)))
    assert all(delay <= 4 for delay in delays)
    await counters.wait(4)
    assert await counters.one.delay("0@example.com", "192.0.2.0") == 0


async def test_without_a_number_of_failures_nothing_is_ever_delayed(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        attempts = SqlLoginAttempts(database, KEY, 0, LONGEST)
        for _ in range(20):
            assert await attempts.failed(ANA, HOME) == 0
        assert await attempts.delay(ANA, HOME) == await attempts.succeeded(ANA, HOME) == 0
        async with database.connection() as connection:
            assert await (await connection.execute("select 1 from auth.login_failures")).fetchone() is None


async def test_the_first_failure_can_bring_a_delay_and_the_longest_be_short(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        attempts = SqlLoginAttempts(database, KEY, 1, 0.5)
        assert await attempts.failed(ANA, HOME) == 0
        assert 0 < await attempts.delay(ANA, "") <= 0.5


async def test_the_table_stays_small_and_names_nobody(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        attempts = SqlLoginAttempts(database, KEY, FREE, LONGEST, most_rows=6)
        counters = Counters(attempts, attempts, database)
        await counters.fail(2, "old@example.com", "192.0.2.77")
        await counters.wait(901)
        for number in range(10):
            await counters.fail(1, f"{number}@example.com", "")
        # Two that are forgotten, and the four that are oldest beyond six.
        assert [await attempts.prune(), await attempts.prune()] == [6, 0]
        await counters.fail(4, "9@example.com", "")
        await counters.fail(4, "3@example.com", "")
        assert await attempts.delay("9@example.com", "") > 0
        assert await attempts.delay("3@example.com", "") == 0
        async with database.connection() as connection:
            rows = await (await connection.execute("select * from auth.login_failures")).fetchall()
        assert len(rows) == 7
        assert not any(b"example" in subject or b"192" in subject for subject, *_ in rows)


async def test_a_flood_of_failures_is_pruned_on_its_way(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=4) as database:
        attempts = SqlLoginAttempts(database, KEY, FREE, LONGEST, most_rows=50)
        for start in range(0, 1100, 100):
            await asyncio.gather(*(attempts.failed(f"{start + n}@example.com", "") for n in range(100)))
        async with database.connection() as connection:
            row = await (await connection.execute("select count(*) from auth.login_failures")).fetchone()
        assert row is not None
        assert row[0] <= 250


async def test_a_database_that_went_away_is_unavailable(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        attempts = SqlLoginAttempts(database, KEY, FREE, LONGEST)
        await database.close()
        for call in (attempts.delay(ANA, HOME), attempts.failed(ANA, HOME), attempts.succeeded(ANA, HOME)):
            with pytest.raises(Unavailable):
                await call


@given(st.integers(0, 20), st.floats(0.1, 86400), st.integers(0, 2**31))
def test_a_delay_grows_with_the_failures_up_to_the_longest(free: int, longest: float, failures: int) -> None:
    rule = DelayRule(free, longest)
    assert rule.delay(failures) <= rule.delay(failures + 1) <= longest
    assert (rule.delay(failures) > 0) == (0 < free <= failures)
    assert rule.memory > longest


@given(st.text())
def test_whatever_is_no_address_is_counted_as_it_is(text: str) -> None:
    assert counted_address(f"unix:{text}") == f"unix:{text}"


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_counted_as_its_neighbours_are(address: IPv6Address) -> None:
    neighbour = IPv6Address(int(address) ^ 1)
    mapped = address.ipv4_mapped is not None
    assert (counted_address(str(address)) == counted_address(str(neighbour))) is not mapped


def test_an_ipv4_address_is_the_same_in_both_spellings() -> None:
    assert counted_address("::ffff:192.0.2.1") == counted_address("192.0.2.1") == "192.0.2.1"
    assert counted_address("2001:DB8:1:2::5") == counted_address("2001:db8:1:2:0:9::") == "2001:db8:1:2::/64"
