"""grpcurl as the tests call it: what it prints, and what it tells about a failure."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from tests.peers.programs import clean_environment

_SECONDS = 60
_CODES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}

Json = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """A status other than OK. `details` are the decoded google.rpc messages by their short names."""

    code: str
    message: str
    details: dict[str, Json]

    @property
    def reason(self) -> str:
        """The reason of its ErrorInfo."""
        return str(self.details["ErrorInfo"]["reason"])

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of its ErrorInfo."""
        metadata: dict[str, str] = self.details["ErrorInfo"].get("metadata", {})
        return metadata


@dataclass
class Stream:
    """A call in progress: iterating it gives each message when grpcurl prints it. `failure` is known at its end."""

    process: "subprocess.Popen[str]"
    messages: list[Json] = field(default_factory=list)
    failure: Failure | None = None

    def __iter__(self) -> Iterator[Json]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            # Pretty-printed, so that the brace in the first column is the one that ends a message.
            if line.rstrip() in ("}", "{}"):
                self.messages.append(json.loads("".join(lines)))
                lines.clear()
                yield self.messages[-1]
        said = self.process.stderr.read()
        if self.process.wait():
            self.failure = _failure(said)

    def hang_up(self) -> None:
        """Ends grpcurl as Ctrl-C does, and with it the call."""
        self.process.terminate()
        self.process.wait()


class Grpcurl:
    """Calls a server as whoever the token belongs to; anonymously without one."""

    def __init__(self, program: Path, address: str, token: str = "") -> None:
        self.program = program
        self.address = address
        self._token = token

    def as_caller(self, token: str) -> "Grpcurl":
        """The same server for another caller."""
        return Grpcurl(self.program, self.address, token)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs grpcurl with these arguments, and `-plaintext`."""
        return subprocess.run(
            [str(self.program), "-plaintext", *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=clean_environment(),
            check=False,
        )

    def print_of(self, *arguments: str) -> str:
        """What such a run prints; it has to succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def call(self, method: str, request: Json) -> Json:
        """The answer of a unary call."""
        with self.stream(method, request) as stream:
            answers = list(stream)
        assert stream.failure is None, stream.failure
        assert len(answers) == 1
        return answers[0]

    def refused(self, method: str, request: Json) -> Failure:
        """The failure of a call that has to fail before it answers anything."""
        with self.stream(method, request) as stream:
            answers = list(stream)
        assert not answers, answers
        assert stream.failure is not None
        return stream.failure

    @contextlib.contextmanager
    def stream(self, method: str, request: Json) -> Iterator[Stream]:
        """A call whose messages can be read one by one; ended with the block."""
        with subprocess.Popen(
            [str(self.program), *self._words(method, request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=clean_environment(),
        ) as process:
            stream = Stream(process)
            try:
                yield stream
            finally:
                if process.poll() is None:
                    stream.hang_up()

    def _words(self, method: str, request: Json) -> Sequence[str]:
        header = ["-H", f"authorization: Bearer {self._token}"] if self._token else []
        options = ["-plaintext", "-format-error", "-emit-defaults", "-max-time", str(_SECONDS), *header]
        return [*options, "-d", json.dumps(request), self.address, method]


def _failure(said: str) -> Failure:
    status = json.loads(said)
    details = {each["@type"].rpartition(".")[2]: each for each in status.get("details", [])}
    return Failure(_CODES[status["code"]], status["message"], details)
