"""`usage`: tables add up to their totals, whatever is in no row of them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from antiphon.analytics.v1 import analytics_pb2
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from services.cli.figures import all_columns
from services.cli.program import program
from services.cli.remainder import remainder
from tests.e2e.suite_process import environment
from tests.e2e.terminal import Terminal
from tests.scripted_usage import ScriptedUsage, figures, share

COUNTS = [
    each.name
    for each in analytics_pb2.Figures.DESCRIPTOR.fields
    if each.name.endswith("_count") or each.name == "cost_nano_usd"
]
FIGURES = st.builds(
    lambda done, failed, tokens, cost, unpriced: figures(
        done + failed, failed=failed, tokens=tokens, cost=cost, unpriced=min(unpriced, done)
    ),
    *[st.integers(0, 1000)] * 2,
    st.integers(0, 10**9),
    st.none() | st.integers(0, 10**12),
    st.integers(0, 1000),
)


@pytest.fixture
def server() -> Iterator[ScriptedUsage]:
    with ScriptedUsage() as scripted:
        yield scripted


@pytest.fixture
def outside(server: ScriptedUsage, tmp_path: Path) -> Mapping[str, str]:
    """What surrounds a process of the command line."""
    return environment(tmp_path) | {"ANTIPHON_SERVER": server.address, "ANTIPHON_TOKEN": "ak_abc_secret"}


@pytest.fixture
def antiphon(outside: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command with an API key, in a pipe."""
    for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, outside[name])

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(program(list(arguments)), list(arguments), prog_name="antiphon")

    return run


def added(parts: list[analytics_pb2.Figures]) -> analytics_pb2.Figures:
    whole = analytics_pb2.Figures()
    for name in COUNTS:
        setattr(whole, name, sum(getattr(each, name) for each in parts))
    amounts: dict[int, int] = {}
    for each in parts:
        for used in each.quantities:
            amounts[used.unit] = amounts.get(used.unit, 0) + used.amount
    for unit, amount in sorted(amounts.items()):
        whole.quantities.add(unit=unit, amount=amount)
    return whole


@given(st.lists(FIGURES, max_size=4), FIGURES)
def test_rows_and_what_is_in_none_of_them_add_up(
    rows: list[analytics_pb2.Figures], nobody: analytics_pb2.Figures
) -> None:
    totals = added([*rows, nobody])
    rest = remainder(totals, rows)
    if rest is None:
        assert nobody.event_count == 0, "calls are in no row, and nothing says so"
        return
    assert added([*rows, rest]) == totals
    assert not rest.latency.count


def test_what_nobody_knows_the_cost_of_costs_not_nothing() -> None:
    rest = remainder(figures(3, cost=5, unpriced=2), [figures(1, cost=5)])
    assert rest is not None
    assert not rest.HasField("cost_nano_usd")
    priced = remainder(figures(3, cost=5, unpriced=1), [figures(1, cost=5)])
    assert priced is not None
    assert (priced.HasField("cost_nano_usd"), priced.cost_nano_usd) == (True, 0)


def test_a_cost_that_was_rounded_in_each_row_leaves_no_debt() -> None:
    rest = remainder(figures(3, cost=1), [figures(1, cost=1), figures(1, cost=1)])
    assert rest is not None
    assert rest.cost_nano_usd == 0


def everybody(server: ScriptedUsage) -> analytics_pb2.GetSystemAnalyticsResponse:
    ana = server.add_user("ana@example.com")
    return analytics_pb2.GetSystemAnalyticsResponse(
        totals=figures(9, tokens=90, cost=900, failed=3),
        services=[share("llm_chat", figures(9, tokens=90, cost=900, failed=3))],
        top_models=[share("echo", figures(8, tokens=90, cost=900, failed=2))],
        top_users=[share(ana.user_id, figures(5, tokens=50, cost=600))],
    )


@pytest.mark.parametrize(("limit", "model"), [((), "(no model)"), (("--limit", "1"), "(others)")])
def test_in_a_pipe_the_lines_of_a_kind_add_up_to_the_total(
    antiphon: Callable[..., Result], server: ScriptedUsage, limit: tuple[str, ...], model: str
) -> None:
    server.answers["GetSystemAnalytics"] = everybody(server)
    told = antiphon("usage", "--system", *limit)
    assert told.exit_code == 0, told.stderr
    lines = [line.split("\t") for line in told.stdout.splitlines()]
    headers = [each.header for each in all_columns()]
    for name, total in (("CALLS", 9), ("FAILED", 3), ("INPUT", 90), ("OUTPUT", 180)):
        place = headers.index(name) + 2
        for kind in ("total", "service", "model", "user"):
            assert sum(int(line[place]) for line in lines if line[0] == kind) == total
    named = [line[1] for line in lines if line[0] in ("model", "user")]
    assert named == ["echo", model, "ana@example.com", "(others)"]


def test_one_s_own_calls_without_a_model_have_a_line(
    antiphon: Callable[..., Result], server: ScriptedUsage
) -> None:
    server.answers["GetUserAnalytics"] = analytics_pb2.GetUserAnalyticsResponse(
        totals=figures(3, failed=1), models=[share("echo", figures(2))]
    )
    for options in ((), ("--by", "model")):
        lines = [line.split("\t") for line in antiphon("usage", *options).stdout.splitlines()]
        assert ["(no model)", "1", "0", "1"] in [line[-len(all_columns()) - 1 :][:4] for line in lines]


def test_a_terminal_shows_what_is_in_no_row(outside: Mapping[str, str], server: ScriptedUsage) -> None:
    server.answers["GetSystemAnalytics"] = everybody(server)
    with Terminal(outside, "usage", "--system", columns=100) as terminal:
        assert terminal.ended() == 0
    rows = [line.split() for line in terminal.shown.splitlines()]
    assert ["(no", "model)", "1", "1"] in [row[:4] for row in rows]
    assert ["(others)", "4", "3", "40", "80"] in [row[:5] for row in rows]
