"""`prices`: amounts are read exactly, told with as many digits as they need, and in force when somebody says."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from services.cli.money import MOST_USD, dollars, nano_usd_of, rounded_dollars
from services.cli.output import CommandFailed
from services.cli.prices import UnitName
from services.cli.program import program
from tests.scripted_server import failing
from tests.scripted_usage import INPUT, START, ScriptedUsage

Antiphon = Callable[..., Result]
AMOUNTS = st.integers(0, MOST_USD * 10**9)


@pytest.fixture
def server() -> Iterator[ScriptedUsage]:
    with ScriptedUsage() as scripted:
        yield scripted


@pytest.fixture
def antiphon(server: ScriptedUsage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe."""
    monkeypatch.setenv("ANTIPHON_SERVER", server.address)
    monkeypatch.setenv("ANTIPHON_TOKEN", "ak_abc_secret")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(program(list(arguments)), list(arguments), prog_name="antiphon")

    return run


def done(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout


def sent(server: ScriptedUsage, method: str) -> Any:
    return server.of(method)[-1].request


@given(AMOUNTS)
def test_an_amount_that_was_told_is_read_as_the_same(nano_usd: int) -> None:
    assert nano_usd_of(dollars(nano_usd).removeprefix("$")) == nano_usd


@given(AMOUNTS)
def test_a_rounded_amount_is_the_nearest_of_its_length(nano_usd: int) -> None:
    told = Fraction(rounded_dollars(nano_usd).removeprefix("$").replace(",", "")) * 10**9
    error = abs(told - nano_usd)
    assert error <= (10**7 // 2 if nano_usd >= 10**9 else Fraction(nano_usd, 2000))


@given(st.decimals(0, MOST_USD, places=9))
def test_every_decimal_is_read_exactly(amount: Decimal) -> None:
    assert nano_usd_of(f"{amount:f}") == Fraction(amount) * 10**9


def test_amounts_have_as_many_digits_as_they_need() -> None:
    told = [dollars(each) for each in (0, 2_100_000, 12_400_000_000, 10 * 10**9, 75_000, 1)]
    assert told == ["$0", "$0.0021", "$12.40", "$10", "$0.000075", "$0.000000001"]
    rounded = [
        rounded_dollars(each) for each in (0, 2_134_517, 12_403_918_234, 1_234_500_000_000, 999_999_999)
    ]
    assert rounded == ["$0", "$0.002135", "$12.40", "$1,234.50", "$1"]


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1e3", "2,50", "$2.50", "٣", "1_000", "NaN", "0.0000000001", "1000000.000000001", "1.", ".5"],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed):
        nano_usd_of(text)


def test_a_price_is_set_from_a_moment_on(antiphon: Antiphon, server: ScriptedUsage) -> None:
    told = done(antiphon("prices", "set", "gpt-4o", "input", "2.50", "--from", "2026-12-01T00:00+00:00"))
    assert told.startswith("gpt-4o: $2.50 for a million input tokens, from 2026-1")
    request = sent(server, "SetPrice")
    assert (request.model, request.unit, request.nano_usd) == ("gpt-4o", INPUT, 2_500_000_000)
    assert request.effective_time.ToDatetime(UTC) == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_price_is_in_force_from_the_beginning_or_from_now_on(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    assert "from the beginning on" in done(
        antiphon("prices", "set", "m", "input", "0", "--from", "beginning")
    )
    request = sent(server, "SetPrice")
    assert (request.HasField("nano_usd"), request.nano_usd) == (True, 0)
    assert request.HasField("effective_time")
    assert request.effective_time.seconds == 0
    done(antiphon("prices", "set", "m", "input", "1", "--from", "now"))
    since = sent(server, "SetPrice").effective_time.ToDatetime(UTC)
    assert timedelta() <= datetime.now(UTC) - since < timedelta(minutes=1)
    done(antiphon("prices", "set", "m", "input", "1"))
    assert not sent(server, "SetPrice").HasField("effective_time")


def test_a_price_may_begin_with_a_day(
    antiphon: Antiphon, server: ScriptedUsage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    done(antiphon("prices", "set", "m", "input", "1", "--from", "today"))
    since = sent(server, "SetPrice").effective_time.ToDatetime(UTC)
    assert (since.hour, since.minute) == (18, 15)
    assert since <= datetime.now(UTC) < since + timedelta(days=2)


def test_a_model_that_nobody_knows_gets_its_price_and_a_remark(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    server.models = [chat_pb2.Model(name="echo"), chat_pb2.Model(name="gpt-4o")]
    told = antiphon("prices", "set", "gpt-40", "input", "1")
    assert told.stdout.startswith("gpt-40: $1 for")
    assert told.stderr == "(no model of the name gpt-40 is known now. Did you mean gpt-4o?)\n"
    assert antiphon("prices", "set", "gpt-4o", "input", "1").stderr == ""
    assert antiphon("prices", "set", "flux", "image", "1").stderr == ""
    server.fail("ListModels", failing(grpc.StatusCode.UNIMPLEMENTED, "", "elsewhere"))
    assert antiphon("prices", "set", "other", "input", "1").stderr == ""


def test_audio_may_be_priced_by_the_minute(antiphon: Antiphon, server: ScriptedUsage) -> None:
    told = done(antiphon("prices", "set", "tts", "audio-minute", "0.015", "--from", "beginning"))
    assert told == "tts: $0.90 for an hour of audio, from the beginning on\n"
    request = sent(server, "SetPrice")
    assert (request.unit, request.nano_usd) == (usage_pb2.UNIT_AUDIO_MILLISECONDS, 900_000_000)
    assert "none" not in done(antiphon("prices", "set", "tts", "audio-minute", "none"))


def test_what_has_no_price_any_more_is_told_so(antiphon: Antiphon, server: ScriptedUsage) -> None:
    told = done(antiphon("prices", "set", "flux", "image", "none", "--from", "beginning"))
    assert told == "flux: an image has no price from the beginning on\n"


def test_no_price_is_something_else_than_nothing(antiphon: Antiphon, server: ScriptedUsage) -> None:
    told = json.loads(
        done(antiphon("prices", "set", "flux", "image", "none", "--variant", "1024x1024", "--json"))
    )
    assert "nanoUsd" not in told
    request = sent(server, "SetPrice")
    assert (request.HasField("nano_usd"), request.variant) == (False, "1024x1024")
    assert request.unit == usage_pb2.UNIT_IMAGES


def test_every_unit_of_the_contract_can_be_priced(antiphon: Antiphon, server: ScriptedUsage) -> None:
    for name in UnitName:
        done(antiphon("prices", "set", "m", name, "1"))
    priced = {seen.request.unit for seen in server.of("SetPrice")}  # type: ignore[attr-defined]
    assert priced == set(usage_pb2.Unit.values()) - {0}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("m", "input", "2,50"), "2.50"),
        (("m", "input", "2,50"), "2.50 or 250"),
        (("m", "input", "$2"), "without the sign: 2"),
        (("m", "input", "1000001"), "is more than 1,000,000 USD"),
        (("m", "input", "99999999999999999999"), "is more than 1,000,000 USD"),
        (("m", "tokens", "1"), "UNIT: 'tokens' is none of input, "),
        (("m", "inpt", "1"), "Did you mean input?"),
        (("m", "input", "1", "--from", "someday"), "--from"),
        (("m", "input"), "USD"),
    ],
)
def test_what_is_written_wrongly_reaches_no_server(
    antiphon: Antiphon, server: ScriptedUsage, arguments: tuple[str, ...], text: str
) -> None:
    refused = antiphon("prices", "set", *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert text in refused.stderr
    assert server.calls == []
    assert "Did you mean 'set'" in antiphon("prices", "sett").stderr


def price(nano_usd: int | None, since: datetime, source: int = 1) -> analytics_pb2.Price:
    return analytics_pb2.Price(
        model="gpt-4o",
        unit=INPUT,
        nano_usd=nano_usd,
        effective_time=since,
        source=analytics_pb2.PriceSource.Name(source),
    )


def test_prices_in_force_are_listed(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.prices = [price(2_500_000_000, START, 2)]
    (line,) = done(antiphon("prices", "--model", "gpt-4o")).splitlines()
    model, variant, amount, of, _, state, source = line.split("\t")
    assert (model, variant, amount, of) == ("gpt-4o", "", "$2.50", "a million input tokens")
    assert (state, source) == ("in force", "administrator")
    request = sent(server, "ListPrices")
    assert request.model == "gpt-4o"
    assert abs(request.at_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)


def test_all_prices_say_which_one_is_in_force(antiphon: Antiphon, server: ScriptedUsage) -> None:
    beginning, later = datetime.fromtimestamp(0, UTC), datetime.now(UTC) + timedelta(days=9)
    server.prices = [price(1, beginning), price(None, later, 2), price(2_500_000_000, START)]
    told = [line.split("\t")[2:6] for line in done(antiphon("prices", "--all")).splitlines()]
    assert [(each[0], each[3]) for each in told] == [
        ("–", "to come"),
        ("$2.50", "in force"),
        ("$0.000000001", "was"),
    ]
    assert told[2][2] == "the beginning"
    assert not sent(server, "ListPrices").HasField("at_time")
    assert len(json.loads(done(antiphon("prices", "--all", "--json")))["prices"]) == 3
    server.prices = []
    assert "antiphon prices set" in antiphon("prices").stderr
