"""MongoDB for the tests: a server that speaks its protocol, and databases of a test's own on it or on a real one."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tests.peers.programs import clean_environment

_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class MongoServer:
    """A running server on the loopback interface."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """Its address, without a database."""
        return f"mongodb://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        """End it at once; what it kept is gone."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)


@contextlib.contextmanager
def mongo_server(command: Sequence[str], port: int = 0, wire_version: int = 13) -> Iterator[MongoServer]:
    """A server until the end of the block, on a free port unless one is given."""
    with subprocess.Popen(
        [*command, str(port), str(wire_version)],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        server = MongoServer(int(told) if told.strip().isdigit() else 0, process)
        try:
            assert server.port, "the MongoDB peer did not start"
            yield server
        finally:
            server.stop()


def given_url() -> str:
    """The real server that the tests are to use; empty without one."""
    return os.environ.get("TEST_MONGODB_URL") or os.environ.get("MONGODB_URL") or ""


@contextlib.contextmanager
def mongo_database(server_url: str) -> Iterator[str]:
    """The address of an empty database there, which is dropped at the end of the block."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    parts = urlsplit(server_url)
    named, options = parts.path.strip("/"), dict(parse_qsl(parts.query))
    if "@" in parts.netloc and not {"authsource", "authmechanism"} & {name.lower() for name in options}:
        # Who logs in is looked up in the database that the address names, unless it says otherwise.
        options["authSource"] = named or "admin"
    name = f"antiphon_test_{secrets.token_hex(6)}"
    yield urlunsplit(parts._replace(path=f"/{name}", query=urlencode(options)))
    with contextlib.suppress(PyMongoError), MongoClient[dict[str, object]](server_url) as client:
        client.drop_database(name)
