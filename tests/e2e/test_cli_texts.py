"""Bytes that are no text, as a shell passes them on to a command, whatever the locale."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize(
    ("arguments", "stdin", "token", "says"),
    [
        (
            [b"login", b"a@example.com", b"--password-stdin"],
            b"p\xff\n",
            b"",
            b"standard input is no UTF-8 text",
        ),
        ([b"login", b"a@example.com", b"--password", b"x\xff"], b"", b"", b"--password is no UTF-8 text"),
        ([b"whoami"], b"", b"ak_\xff", b"ANTIPHON_TOKEN is no token"),
    ],
)
def test_bytes_that_are_no_text_are_refused(
    server: ScriptedServer,
    tmp_path: Path,
    locale: str,
    arguments: list[bytes],
    stdin: bytes,
    token: bytes,
    says: bytes,
) -> None:
    clean = {name: value for name, value in os.environb.items() if not name.startswith(b"ANTIPHON_")}
    given = {b"XDG_CONFIG_HOME": bytes(tmp_path), b"ANTIPHON_SERVER": server.address.encode()}
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"services.cli", *arguments],
        input=stdin,
        capture_output=True,
        env=clean | given | {b"LC_ALL": locale.encode(), b"ANTIPHON_TOKEN": token},
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr
    assert b"Traceback" not in done.stderr
    assert server.calls == []
