"""Whose calls count together, what the settings allow, and how much is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.chat.v1 import chat_pb2

from services.capabilities.limits.model import CLASSES, By, Count, LimitClass, Networks, Numbers
from services.capabilities.limits.stores.memory import MemoryCounters
from services.capabilities.limits.usecases import ClassLimits
from services.capabilities.limits.wiring import MetricsTally, numbers_of
from services.kernel.errors import Unavailable
from services.kernel.limits import Allowance, Limit, RateLimited
from services.kernel.principal import ANONYMOUS, Kind, Principal
from services.kernel.startup import StartupError
from services.runtime.metrics import Metrics
from services.runtime.policy import policies_of
from services.settings import LimitSettings

ANA = Principal(Kind.USER, user_id="ana", session_id="s1")
ANAS_KEY = Principal(Kind.USER, user_id="ana", api_key_id="k1", scopes=frozenset())
CHAT = Principal(Kind.SERVICE, service="chat")
CHAT_FOR_ANA = Principal(Kind.SERVICE, service="chat", user_id="ana")
HOME, OFFICE = "192.0.2.1", "192.0.2.2"
LOTS = Numbers(1000, 1000)


class NobodyCounts:
    async def take(self, name: str, caller: str, limit: int) -> Count:
        raise Unavailable("away", retry_after=2.0)

    async def prune(self) -> int:
        return 0


@dataclass
class Heard:
    """A Tally that remembers."""

    lines: list[str] = field(default_factory=list)

    def refused(self, name: str) -> None:
        self.lines.append(f"{name} refused")

    def uncounted(self, name: str, *, passed: bool) -> None:
        self.lines.append(f"{name} uncounted, {'passed' if passed else 'refused'}")


class Seen(MemoryCounters):
    """Counts, and remembers under which names."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[str] = []

    async def take(self, name: str, caller: str, limit: int) -> Count:
        self.callers.append(caller)
        return await super().take(name, caller, limit)


def limit_of(name: str, numbers: Numbers, counters: MemoryCounters | None = None, key: bytes = b"k") -> Limit:
    limits: Mapping[str, Numbers] = {name: numbers}
    found = ClassLimits(MemoryCounters() if counters is None else counters, limits, key, Heard()).of(name)
    assert found is not None
    return found


async def asked(limit: Limit, principal: Principal, address: str, account: str) -> Allowance | None:
    """A call, as the interceptors have it counted."""
    allowance = await limit.take(principal, address)
    return allowance if limit.account is None else await limit.account.take(address, account)


async def refused(limit: Limit, principal: Principal, address: str = HOME, account: str = "") -> bool:
    try:
        await asked(limit, principal, address, account)
    except RateLimited:
        return True
    return False


def test_the_contract_names_known_classes_and_the_settings_have_the_contracts_numbers() -> None:
    files = (auth_pb2, api_key_pb2, chat_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    named = {policy.limit for policy in policies_of(services).values()} - {""}
    assert named <= set(CLASSES)
    assert numbers_of(LimitSettings()) == {
        "register": Numbers(3, 3),
        "login": Numbers(5, 5),
        "refresh": Numbers(60, 60),
        "default": Numbers(600, 600),
        "admin": Numbers(100, 100),
        "chat": Numbers(60, 10),
        "image": Numbers(10, 2),
        "speech": Numbers(20, 4),
    }


def test_a_class_that_nobody_knows_stops_the_start() -> None:
    with pytest.raises(StartupError, match="'video'"):
        ClassLimits(MemoryCounters(), {}, b"k", Heard()).of("video")


def test_zero_is_no_limit_at_all() -> None:
    limits = ClassLimits(MemoryCounters(), {"chat": Numbers(0, 0)}, b"k", Heard())
    assert limits.of("chat") is None


async def test_zero_for_people_leaves_the_anonymous_their_limit() -> None:
    limit = limit_of("chat", Numbers(0, 1))
    assert [await limit.take(ANA, HOME) for _ in range(3)] == [None] * 3
    assert not await refused(limit, ANONYMOUS)
    assert await refused(limit, ANONYMOUS)


async def test_a_person_is_counted_wherever_it_calls_from_and_a_key_on_its_own() -> None:
    limit = limit_of("chat", Numbers(1, 1))
    assert not await refused(limit, ANA, HOME)
    assert await refused(limit, ANA, OFFICE)
    assert not await refused(limit, ANAS_KEY, HOME)
    assert await refused(limit, ANAS_KEY, HOME)
    assert not await refused(limit, ANONYMOUS, HOME)
    assert await refused(limit, ANONYMOUS, HOME)
    assert not await refused(limit, ANONYMOUS, OFFICE)


async def test_a_service_counts_to_the_person_it_acts_for_and_by_itself_not_at_all() -> None:
    limit = limit_of("default", Numbers(1, 1))
    assert not await refused(limit, CHAT_FOR_ANA)
    assert await refused(limit, ANA)
    assert [await limit.take(CHAT, HOME) for _ in range(3)] == [None] * 3


async def test_logins_are_counted_by_address_and_account_however_it_is_written() -> None:
    limit = limit_of("login", Numbers(1, 1))
    assert limit.account is not None
    assert limit.account.field == "email"
    assert not await refused(limit, ANONYMOUS, HOME, "ana@example.com")
    assert await refused(limit, ANONYMOUS, HOME, " ANA@Example.com ")
    assert not await refused(limit, ANONYMOUS, HOME, "ben@example.com")
    assert not await refused(limit, ANONYMOUS, OFFICE, "ana@example.com")


async def test_an_account_is_never_kept_in_clear_nor_as_what_others_could_compute() -> None:
    callers = []
    for key in (b"one", b"other"):
        seen = Seen()
        await asked(limit_of("login", LOTS, seen, key), ANONYMOUS, HOME, "ana@example.com")
        callers.append(seen.callers[-1])
    assert all("ana" not in caller and HOME in caller for caller in callers)
    assert callers[0] != callers[1]


async def test_an_account_that_is_a_novel_costs_little_and_counts() -> None:
    seen = Seen()
    limit = limit_of("login", Numbers(1, 1), seen)
    novel = "\ufdfa" * 1_000_000
    assert not await refused(limit, ANONYMOUS, HOME, novel)
    assert await refused(limit, ANONYMOUS, HOME, novel)
    assert all(len(caller) < 100 for caller in seen.callers)


async def test_who_makes_up_accounts_is_stopped_by_its_address_and_nobody_else_is() -> None:
    counters = MemoryCounters()
    limits = ClassLimits(counters, {"login": Numbers(5, 5)}, b"k", Heard())
    limit = limits.of("login")
    assert limit is not None
    let_in = [not await refused(limit, ANONYMOUS, HOME, f"{number}@example.com") for number in range(300)]
    assert let_in == [True] * 100 + [False] * 200
    assert len(counters) == 101
    assert await refused(limit, ANONYMOUS, HOME, "ana@example.com")
    assert not await refused(limit, ANONYMOUS, OFFICE, "ana@example.com")
    with pytest.raises(RateLimited) as caught:
        await limit.take(ANONYMOUS, HOME)
    assert caught.value.metadata == {"limit": "login"}
    assert caught.value.quota is not None
    quota = (caught.value.quota.subject, caught.value.quota.description)
    assert quota == ("address", "login: 100 calls per minute")


async def test_the_account_is_what_who_logs_in_is_told_about() -> None:
    limit = limit_of("login", Numbers(5, 5))
    assert await limit.take(ANONYMOUS, HOME) is None
    allowance = await asked(limit, ANONYMOUS, HOME, "ana@example.com")
    assert allowance is not None
    assert (allowance.limit, allowance.remaining) == (5, 4)


@pytest.mark.parametrize("name", ["register", "refresh"])
async def test_addresses_are_counted_whoever_calls(name: str) -> None:
    limit = limit_of(name, Numbers(1, 1))
    assert not await refused(limit, ANA)
    assert await refused(limit, ANONYMOUS)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("a:b:c", "a:b:c"),
    ],
)
def test_ipv6_is_counted_by_the_network_of_a_subscriber(address: str, network: str) -> None:
    networks = Networks()
    assert networks.of(address) == networks.of(address) == network


def test_networks_are_remembered_within_bounds() -> None:
    networks = Networks()
    for number in range(3000):
        assert networks.of(f"2001:db8:0:{number:x}::1") == f"2001:db8:0:{number:x}::/64".replace(
            ":0:0::", "::"
        )


async def test_who_is_let_in_learns_what_is_left() -> None:
    limit = limit_of("chat", Numbers(2, 1))
    allowance = await limit.take(ANA, HOME)
    assert allowance is not None
    assert (allowance.limit, allowance.remaining) == (2, 1)
    assert 59 < allowance.reset_after <= 60


async def test_who_is_refused_learns_why_and_until_when_and_nothing_else() -> None:
    limit = limit_of("chat", Numbers(1, 1))
    await limit.take(ANAS_KEY, HOME)
    with pytest.raises(RateLimited) as caught:
        await limit.take(ANAS_KEY, HOME)
    error = caught.value
    assert error.reason == "RATE_LIMITED"
    assert error.metadata == {"limit": "chat"}
    assert error.quota is not None
    assert (error.quota.subject, error.quota.description) == ("API key", "chat: 1 call per minute")
    assert error.retry_after == error.allowance.reset_after
    assert error.allowance.remaining == 0
    assert "k1" not in error.message


@pytest.mark.parametrize("name", list(CLASSES))
async def test_when_nobody_counts_guesses_are_refused_and_the_rest_passes(name: str) -> None:
    heard = Heard()
    limit = ClassLimits(NobodyCounts(), {name: LOTS}, b"k", heard).of(name)
    assert limit is not None
    passes = name not in ("register", "login")
    result: Allowance | Unavailable | None
    try:
        result = await asked(limit, ANA, HOME, "ana@example.com")
    except Unavailable as error:
        result = error
    assert (result is None) is passes
    if isinstance(result, Unavailable):
        assert result.retry_after == 2.0
    assert heard.lines == [f"{name} uncounted, {'passed' if passes else 'refused'}"]


async def test_refusals_are_told_to_the_tally() -> None:
    heard = Heard()
    limit = ClassLimits(MemoryCounters(), {"chat": Numbers(1, 1)}, b"k", heard).of("chat")
    assert limit is not None
    assert [await refused(limit, ANA) for _ in range(3)] == [False, True, True]
    assert heard.lines == ["chat refused"] * 2


def test_a_class_counts_by_account_exactly_when_it_names_a_field() -> None:
    with pytest.raises(ValueError):
        LimitClass("login", By.ADDRESS_AND_ACCOUNT, fails_open=False)
    with pytest.raises(ValueError):
        LimitClass("chat", By.CALLER, fails_open=True, account_field="email")


async def test_memory_is_bounded_and_forgets_what_has_ended_first_and_then_who_was_not_seen_for_longest() -> (
    None
):
    now = [0.0]
    counters = MemoryCounters(window=60, most=3, clock=lambda: now[0])
    await counters.take("chat", "ended", 1)
    now[0] = 30
    for caller in ("ana", "ben"):
        await counters.take("chat", caller, 1)
    now[0] = 61
    await counters.take("chat", "cid", 1)
    assert not (await counters.take("chat", "ana", 1)).allowed
    # All three last, and Ben was seen before Ana.
    await counters.take("chat", "dan", 1)
    assert len(counters) == 3
    assert not (await counters.take("chat", "ana", 1)).allowed
    assert (await counters.take("chat", "ben", 1)).allowed
    assert len(counters) == 3


async def test_who_fills_the_memory_of_a_class_makes_nobody_forgotten_in_another() -> None:
    counters = MemoryCounters(most=3)
    assert (await counters.take("register", "ana", 1)).allowed
    for number in range(100):
        await counters.take("login", f"made up {number}", 1)
    assert len(counters) == 4
    assert not (await counters.take("register", "ana", 1)).allowed


def test_memory_does_not_make_a_call_wait() -> None:
    taking = MemoryCounters().take("chat", "ana", 1)
    with pytest.raises(StopIteration):
        taking.send(None)


def test_refusals_are_on_the_page_of_metrics() -> None:
    metrics = Metrics()
    tally = MetricsTally("chat", metrics)
    MetricsTally("auth", metrics).uncounted("login", passed=False)
    tally.refused("chat")
    tally.refused("chat")
    tally.uncounted("default", passed=True)
    found = {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "antiphon_limited_calls_total"
    }
    assert found == {
        ("auth", "login", "refused uncounted"): 1,
        ("chat", "chat", "refused"): 2,
        ("chat", "default", "passed uncounted"): 1,
    }
    MetricsTally("chat", None).refused("chat")
