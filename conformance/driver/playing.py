"""Plays a case with a runner: people, a network of its own, the steps, and what differs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from conformance.driver.cases import Case
from conformance.driver.certificates import MUTUAL, PLAIN
from conformance.driver.failures import CaseInvalid, DriverFailed, RunnerFailed
from conformance.driver.matching import differences
from conformance.driver.network import Network
from conformance.driver.people import People
from conformance.driver.runner import Runner, Running
from conformance.driver.streams import miscounted
from conformance.driver.suite import Suite, Suites
from conformance.driver.values import Json, Values, filled

NOBODY = "nobody"
_SECONDS = 60.0
_POLL_SECONDS = 0.2
# A client has read by then what the network has passed on.
_READ_SECONDS = 0.1
_PREFACE = "This is echo, Antiphon's built-in stand-in: no language model is behind it. You wrote: "


async def play(case: Case, runner: Runner, suites: Suites) -> list[str]:
    """What differs from what the case expects; empty when nothing does. Raises RunnerFailed and DriverFailed."""
    suite = await suites.of(case.suite)
    network = Network(suite.port)
    await network.up()
    try:
        return await _Play(case, runner, suite, network, suites).steps()
    finally:
        await network.close()


class _Uuids(dict[str, Json]):
    """A random UUID for each name that is asked for, the same one all the time."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        made = self[name] = str(uuid.uuid4())
        return made


class _Play:
    def __init__(self, case: Case, runner: Runner, suite: Suite, network: Network, suites: Suites) -> None:
        self._case = case
        self._runner = runner
        self._suite = suite
        self._network = network
        self._tls = suites.tls
        self._certificates = suites.certificates
        self._values: Values = {"uuid": _Uuids()}
        self._opened: set[str] = set()
        self._doing: set[asyncio.Task[Any]] = set()

    async def steps(self) -> list[str]:
        """All steps until the first that differs."""
        people = People(self._suite, self._tls)
        try:
            for name in self._case.people:
                person = await people.make(name)
                self._values[name] = person.values()
                await self._open(name, token=person.token, refresh_token=person.refresh_token)
            await self._open(NOBODY)
            for name, value in self._case.let.items():
                self._values[name] = self._made(value)
            for number, step in enumerate(self._case.steps, 1):
                found = await self._step(step)
                if found:
                    return [f"step {number} ({step.get('op', step.get('do'))}): {line}" for line in found]
            return []
        finally:
            for name in sorted(self._opened):
                with contextlib.suppress(RunnerFailed):
                    await self._runner.do("close", _SECONDS, client=self._named(name))

    def _named(self, client: str) -> str:
        """What the runner knows a client of this case as; cases that are played at the same time have their own."""
        return f"{self._case.name} {client}"

    def _filled(self, template: Json) -> Json:
        try:
            return filled(template, self._values)
        except KeyError as error:
            raise CaseInvalid(f"{self._case.name}: {error.args[0]}") from error

    def _made(self, value: Json) -> Json:
        value = self._filled(value)
        if not isinstance(value, dict):
            return value
        (maker, given), *_ = value.items()
        if maker == "$words":
            return " ".join(f"word{number}" for number in range(1, given + 1))
        if maker == "$echo":
            return _PREFACE + given
        text, number = given
        return text[:number] if maker == "$cut" else text * number

    async def _open(self, name: str, **fields: Json) -> None:
        more: dict[str, Json] = dict(fields)
        tls = self._certificates.of_client(more.pop("tls", PLAIN if self._tls is None else MUTUAL))
        if tls is not None:
            more["tls"] = tls
        await self._runner.do(
            "open", _SECONDS, client=self._named(name), address=self._network.address, **more
        )
        self._opened.add(name)

    async def _step(self, step: Mapping[str, Json]) -> list[str]:
        if "do" in step:
            await self._do(step["do"], step)
            return []
        given = {key: self._filled(step[key]) for key in step if key not in ("while", "expect")}
        expected = self._filled(step.get("expect", {"ok": True}))
        if step["op"] == "open":
            await self._open(given["client"], **{k: given[k] for k in given if k not in ("op", "client")})
            return []
        if step["op"] == "close":
            await self._close(given["client"])
            return []
        if step["op"] in ("login", "token") and "expect" not in step:
            expected = {}
        give_up = time.monotonic() + given.get("until_seconds", 0)
        while True:
            found = await self._observe(step, given, expected)
            if not found or time.monotonic() > give_up:
                return found
            await asyncio.sleep(_POLL_SECONDS)

    async def _observe(
        self, step: Mapping[str, Json], given: Mapping[str, Json], expected: Json
    ) -> list[str]:
        own = ("op", "as", "at_once", "until_seconds", "within")
        fields = {key: value for key, value in given.items() if key not in own}
        if "as" in given:
            fields["client"] = self._named(given["as"])
        count, limit = given.get("at_once", 1), given.get("within", _SECONDS)
        begun = [await self._runner.begin(step["op"], **fields) for _ in range(count)]
        async with self._meanwhile(step, begun[0]):
            results = [await self._runner.end(running, limit) for running in begun]
        return [
            line
            for running, result in zip(begun, results, strict=True)
            for line in (
                *differences(expected, {**result, "events": running.events}, self._values),
                *miscounted(running.op, running.events, result),
                *_misnamed(result.get("error") or {}),
            )
        ]

    @contextlib.asynccontextmanager
    async def _meanwhile(self, step: Mapping[str, Json], running: Running) -> AsyncIterator[None]:
        """Does what is to be done while the op runs. What was not done by its end is not done any more, but what has begun is."""
        tasks = [
            asyncio.create_task(self._trigger(trigger, running, step.get("as", "")))
            for trigger in step.get("while", [])
        ]
        try:
            yield
        except Exception:
            # A suite that a deed has stopped would stay so for all cases behind.
            await self._finished(tasks)
            raise
        else:
            for task in await self._finished(tasks):
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _finished(self, tasks: Sequence[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Those of the deeds that have begun, when they are done."""
        begun = self._doing & set(tasks)
        if begun:
            _, late = await asyncio.wait(begun, timeout=_SECONDS * 2)
            if late:
                raise DriverFailed("what was to be done meanwhile did not end")
        return begun

    async def _trigger(self, trigger: Mapping[str, Json], running: Running, client: str) -> None:
        if "after_passed" in trigger:
            try:
                await self._network.passed(trigger["after_passed"])
                await asyncio.sleep(_READ_SECONDS)
                await self._act(trigger, running, client)
            finally:
                await self._network.go_on()
            return
        if "after_events" in trigger:
            if not await running.has(trigger["after_events"]):
                return
        elif "after_held" in trigger:
            await self._network.held(trigger["after_held"])
        else:
            await asyncio.sleep(trigger["after_ms"] / 1000)
        await self._act(trigger, running, client)

    async def _act(self, trigger: Mapping[str, Json], running: Running, client: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._doing.add(task)
        for deed in _listed(trigger["do"]):
            if deed == "cancel":
                await self._runner.do("cancel", _SECONDS, target=running.number)
            elif deed == "close":
                await self._close(client)
            else:
                await self._do(deed, trigger)

    async def _close(self, name: str) -> None:
        await self._runner.do("close", _SECONDS, client=self._named(name))
        self._opened.discard(name)

    async def _do(self, deeds: str | Sequence[str], step: Mapping[str, Json]) -> None:
        for deed in _listed(deeds):
            if deed == "restart":
                await self._suite.stop()
                await self._suite.start()
            elif deed == "kill":
                await self._suite.kill()
                await self._suite.start()
            elif deed == "expire":
                await _expired(self._filled(step["token"]))
            else:
                network: Mapping[str, Callable[[], Any]] = {
                    "cut": self._network.cut,
                    "hold": self._network.hold,
                    "release": self._network.release,
                    "flip": self._network.flip,
                    "down": self._network.down,
                    "up": self._network.up,
                }
                await network[deed]()


async def _expired(token: str) -> None:
    """Waits until the token has expired; the suite's clock is this one."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = float(claims["exp"])
    except (AttributeError, LookupError, TypeError, ValueError):
        raise CaseInvalid(f"{token!r:.100} is no token that expires") from None
    await asyncio.sleep(max(0.0, end + 1 - time.time()))


def _listed(deeds: str | Sequence[str]) -> Sequence[str]:
    return [deeds] if isinstance(deeds, str) else deeds


def _misnamed(error: Mapping[str, Json]) -> list[str]:
    """Whether an error tells a reason without saying whose word that is: no case needs to ask for it."""
    if error.get("reason") and error.get("domain") != "antiphon":
        return [
            f"error.domain: not antiphon, but {error.get('domain')!r} beside the reason {error['reason']}"
        ]
    return []
