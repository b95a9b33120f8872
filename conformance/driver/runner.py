"""A runner as a process: lines of JSON to it and from it, and a limit on every wait."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.driver.failures import RunnerFailed
from conformance.driver.languages import Language
from conformance.driver.values import Json

_LINE_BYTES = 64 * 1024 * 1024
_HELLO_SECONDS = 60.0
_END_SECONDS = 10.0
_PING_SECONDS = 5.0
_LOG_LINES = 15


@dataclass(slots=True)
class Running:
    """An op that a runner is at. `arrived` is set anew with each event, and at the end."""

    number: int
    op: str
    events: list[Json] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    answer: asyncio.Future[Json] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def has(self, events: int) -> bool:
        """Waits for so many events; False when the op ended before they came."""
        while len(self.events) < events and not self.answer.done():
            self.arrived.clear()
            await self.arrived.wait()
        return len(self.events) >= events


class Runner:
    """Speaks the protocol with one process."""

    def __init__(self, language: Language, process: asyncio.subprocess.Process, log: Path) -> None:
        self.language = language
        self._process = process
        self._log = log
        self._numbers = itertools.count(1)
        self._ops: dict[int, Running] = {}
        self._failure: RunnerFailed | None = None
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can still be told to do something."""
        return self._failure is None and self._process.returncode is None

    async def begin(self, op: str, **fields: Any) -> Running:
        """Tell it to begin an op. Raises RunnerFailed."""
        if self._failure is not None:
            raise self._failure
        running = Running(next(self._numbers), op)
        self._ops[running.number] = running
        line = json.dumps({"id": running.number, "op": op, **fields}, ensure_ascii=False)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()
        except OSError as error:
            raise self._failed(f"it takes no more: {error}") from error
        return running

    async def end(self, running: Running, seconds: float) -> Json:
        """The result of an op. Raises RunnerFailed when it is broken, or does not come in time."""
        try:
            answer = await asyncio.wait_for(asyncio.shield(running.answer), seconds)
        except TimeoutError:
            await self._give_up_when_silent()
            raise RunnerFailed(
                f"{running.op} (id {running.number}) did not end within {seconds:.0f} s"
            ) from None
        if "broken" in answer:
            raise RunnerFailed(f"{running.op} is broken: {answer['broken']}")
        return answer["result"]

    async def do(self, op: str, seconds: float, **fields: Any) -> Json:
        """An op from its beginning to its end. Raises RunnerFailed."""
        return await self.end(await self.begin(op, **fields), seconds)

    async def _give_up_when_silent(self) -> None:
        """Ends a runner that does not even answer a ping, so that the next case has another one and not a minute of silence, too."""
        try:
            ping = await self.begin("ping")
            await asyncio.wait_for(asyncio.shield(ping.answer), _PING_SECONDS)
        except RunnerFailed:
            return  # It has failed already.
        except TimeoutError:
            self._failed("it answers nothing any more")
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End its input, and with it the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                self._take(json.loads(line))
            await self._process.wait()
            self._failed(f"it ended with {self._process.returncode}")
        except (ValueError, KeyError, TypeError) as error:
            self._failed(f"it wrote what the protocol does not have: {error!r}")

    def _take(self, line: Mapping[str, Json]) -> None:
        running = self._ops[line["id"]]
        if "event" in line:
            running.events.append(_object(line["event"]))
        elif not running.answer.done():
            if "broken" not in line:
                _object(line["result"])
            running.answer.set_result(line)
        running.arrived.set()

    def _failed(self, why: str) -> RunnerFailed:
        end = "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
        self._failure = RunnerFailed(f"the runner failed: {why}" + (f"\n{end}" if end else ""))
        for running in self._ops.values():
            if not running.answer.done():
                running.answer.set_result({"broken": str(self._failure)})
                running.arrived.set()
        return self._failure


def _object(observed: Json) -> Mapping[str, Json]:
    if not isinstance(observed, dict):
        raise TypeError(f"{observed!r:.200} is no object")
    return observed


@contextlib.asynccontextmanager
async def started(language: Language, folder: Path) -> AsyncIterator[Runner]:
    """A language's runner until the end of the block. Raises RunnerFailed when it does not start, or not say hello."""
    log = folder / f"{language.name}.log"
    with log.open("wb") as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *language.run,
                cwd=language.folder,
                env={**os.environ, **language.environment, "no_proxy": "*"},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                # What a terminal tells the driver to do is not told to runners; they end with their input.
                start_new_session=True,
                limit=_LINE_BYTES,
            )
        except OSError as error:
            raise RunnerFailed(f"the runner could not be started: {error}") from error
    runner = Runner(language, process, log)
    try:
        hello = await runner.do("hello", _HELLO_SECONDS)
        if hello.get("language") != language.name:
            raise RunnerFailed(
                f"the runner of {language.name} says that it is that of {hello.get('language')}"
            )
        yield runner
    finally:
        await runner.close()
