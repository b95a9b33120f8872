"""The driver of the conformance cases finds differences, breaks connections when told to, and refuses cases that can't be played."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conformance.driver import cases
from conformance.driver.cases import Case
from conformance.driver.failures import CaseInvalid
from conformance.driver.languages import Language
from conformance.driver.matching import differences, filled
from conformance.driver.network import Network
from conformance.driver.round import play_all
from conformance.driver.table import Outcome, all_passed, table


@pytest.mark.parametrize(
    ("expected", "observed"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"$absent": True}}, {}),
        ({"$ge": 5}, "7"),
        ({"$le": 5}, 5),
        ({"$regex": "^a"}, "ab"),
        ({"$len": 2, "$each": {"$ge": 1}}, [1, 2]),
        ({"$first": 1, "$before_last": 2, "$last": 3}, [1, 2, 3]),
        ({"$has": [{"a": 1}]}, [{"a": 2}, {"a": 1}]),
        ({"$unique": "a"}, [{"a": 1}, {"a": 2}]),
        ({"$not": 1}, 2),
        ({"$dense": True}, [{"firstSeq": "1", "seq": "1"}, {"firstSeq": "2", "seq": "4"}]),
    ],
)
def test_what_is_as_expected_does_not_differ(expected: Any, observed: Any) -> None:
    assert differences(expected, observed, {}) == []


@pytest.mark.parametrize(
    ("expected", "observed"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"a": 1}, "a"),
        ([1, 2], [1]),
        ([1, 2], [2, 1]),
        (True, 1),
        ({"$absent": True}, 1),
        ({"$ge": 5}, "4"),
        ({"$regex": "^a"}, "ba"),
        ({"$len": 2}, [1]),
        ({"$each": {"$ge": 1}}, [1, 0]),
        ({"$last": 3}, []),
        ({"$has": [1, 2]}, [1]),
        ({"$unique": "a"}, [{"a": 1}, {"a": 1}]),
        ({"$not": 1}, 1),
        ({"$dense": True}, [{"firstSeq": "1", "seq": "1"}, {"firstSeq": "3", "seq": "4"}]),
    ],
)
def test_what_is_not_as_expected_differs(expected: Any, observed: Any) -> None:
    assert differences(expected, observed, {})


def test_what_was_bound_stands_in_later_steps() -> None:
    bound: dict[str, Any] = {}
    assert differences({"id": {"$bind": "session"}}, {"id": 7}, bound) == []
    assert filled({"whole": "${session}", "part": "no. ${session}"}, bound) == {"whole": 7, "part": "no. 7"}
    with pytest.raises(KeyError):
        filled("${nothing}", bound)


def test_all_cases_can_be_played() -> None:
    found = cases.read()
    assert len(found) >= 70
    assert all(case.says.endswith(".") for case in found)


@pytest.mark.parametrize(
    "case",
    [
        {"name": "calls/one"},
        {"name": "other/one", "says": "x", "steps": []},
        {"name": "calls/one", "says": "x", "steps": [{"op": "fly"}]},
        {"name": "calls/one", "says": "x", "steps": [{"do": "fly"}]},
        {"name": "calls/one", "says": "x", "steps": [{"op": "call", "expect": {"$odd": 1}}]},
        {"name": "calls/one", "says": "x", "steps": [], "except": {"go": {"because": "", "issue": ""}}},
    ],
)
def test_what_no_driver_can_play_is_refused(tmp_path: Path, case: Any) -> None:
    (tmp_path / "calls.json").write_text(json.dumps([case]))
    with pytest.raises(CaseInvalid):
        cases.read(tmp_path)


@pytest.mark.parametrize(
    ("steps", "alone"),
    [
        ([{"op": "token", "as": "ana"}], False),
        ([{"op": "token", "as": "ana", "while": [{"after_ms": 1, "do": "cut"}]}], False),
        ([{"do": ["down", "kill"]}], True),
        ([{"op": "token", "as": "ana", "while": [{"after_ms": 1, "do": "restart"}]}], True),
    ],
)
def test_a_case_that_stops_the_suite_is_played_alone(steps: Any, alone: bool) -> None:
    assert Case("calls/it", "It.", steps).alone is alone


async def test_a_runner_that_never_says_hello_fails_all_cases_and_is_started_once(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    program = f"open({str(starts)!r}, 'a').write('x'); print('hello?', flush=True)"
    mute = Language("cobol", tmp_path, [sys.executable, "-c", program])
    chosen = [Case(f"calls/no-{number}", "It.", [{"do": "kill"}]) for number in range(3)]
    outcomes = await play_all([mute], chosen, tmp_path, None, lambda *_: None)
    assert starts.read_text() == "x"
    assert [*outcomes["cobol"]] == [case.name for case in chosen]
    assert all("protocol" in outcome.differences[0] for outcome in outcomes["cobol"].values())


def test_the_table_tells_why_a_case_failed() -> None:
    case = cases.Case("calls/one", "x", [])
    outcomes = {"go": {"calls/one": Outcome(["it differs"])}, "rust": {"calls/one": Outcome()}}
    assert not all_passed(outcomes)
    shown = table([case], outcomes)
    assert "✗" in shown
    assert "✓" in shown
    assert "go calls/one: it differs" in shown


@asynccontextmanager
async def echoing() -> AsyncIterator[Network]:
    """A network before a server that sends back what it is sent."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    network = Network(server.sockets[0].getsockname()[1])
    await network.up()
    try:
        yield network
    finally:
        await network.close()
        server.close()


async def test_a_network_passes_on_holds_back_and_cuts() -> None:
    async with echoing() as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        await network.hold()
        writer.write(b"two")
        await network.held(3)
        await network.release()
        assert await reader.readexactly(3) == b"two"
        await network.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_a_network_that_is_down_refuses_until_it_is_up() -> None:
    async with echoing() as network:
        await network.down()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", network.port)
        await network.up()
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        writer.close()
