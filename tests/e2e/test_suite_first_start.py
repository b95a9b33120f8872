"""What the first start tells its operator, what later ones keep to themselves, and where the data may be."""

import asyncio
import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.chat_witness import Witness, watch_all
from tests.e2e.suite_process import COMMAND, NOBODY, SERVING, SuiteProcess, as_nobody, environment
from tests.peers.programs import free_port

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
SERVICES = (
    "auth.v1.AuthService",
    "auth.v1.ApiKeyService",
    "chat.v1.ChatService",
    "image.v1.ImageService",
    "speech.v1.SpeechService",
)
QUESTION = "kumquat marmalade recipe"


def line_with(text: str, *words: str) -> str:
    (found,) = (line for line in text.splitlines() if all(word in line for word in words))
    return found


def paste(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What bash makes of a line, in another folder and another terminal."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_first_start_tells_how_to_get_in_and_nothing_else_ever_does(
    tmp_path: Path, start_suite: StartSuite
) -> None:
    suite = start_suite(settings={"LOG_LEVEL": "DEBUG"}).up()
    names = ("", "live", *(f"antiphon.{name}" for name in SERVICES))
    assert {name: suite.health(name) for name in names} == dict.fromkeys(names, SERVING)
    assert suite.health("antiphon.knowledge.v1.KnowledgeService") is None
    password = suite.password
    assert password
    grpcurl = line_with(suite.out, "grpcurl -plaintext", "AuthService/Login")
    body = json.loads(grpcurl.split("'")[1])
    token = suite.log_in(body["email"], body["password"])
    # The line works from anywhere else, as it is.
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    done = paste(line_with(suite.out, " login ", " chat "), elsewhere)
    assert done.returncode == 0, done.stderr
    assert "Hello" in done.stdout

    asyncio.run(watch_all(suite.address, [Witness(QUESTION, token), Witness(QUESTION, "")]))
    refresh = json.loads((elsewhere / "config" / "antiphon" / "credentials.json").read_text())
    assert suite.stop() == 0
    first_log = suite.err
    assert any(line["event"] == "call" for line in suite.log)  # each line is an object by itself

    suite = start_suite(
        port=suite.port, settings={"LOG_LEVEL": "DEBUG", "ANTIPHON_LOG__FORMAT": "pretty"}
    ).up()
    assert "administrator" not in suite.out
    asyncio.run(watch_all(suite.address, [Witness(QUESTION, token)]))
    assert suite.stop() == 0
    assert "StreamChat OK" in suite.err

    key = (suite.data_dir / "secret").read_text().strip()
    secrets = {password, token, token.split(".")[2], key, "kumquat", *_strings(refresh)}
    for text in (first_log, suite.err, suite.out):
        assert [secret for secret in secrets if secret in text] == []


def _strings(value: object) -> set[str]:
    """The long texts of a JSON value, tokens among them."""
    if isinstance(value, dict):
        return {text for each in value.values() for text in _strings(each)}
    return {value} if isinstance(value, str) and len(value) > 30 else set()


def test_on_a_narrow_terminal_the_lines_can_still_be_pasted(tmp_path: Path) -> None:
    port = free_port()
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    command = [*COMMAND, "serve", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(tmp_path) | {"TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as suite:
        try:
            shown = b""
            deadline = time.monotonic() + 40
            while b"serving" not in shown and time.monotonic() < deadline:
                if select.select([screen], [], [], 0.1)[0]:
                    shown += os.read(screen, 65536)
        finally:
            suite.terminate()
            suite.wait(30)
            os.close(terminal)
            os.close(screen)
    text = shown.decode().replace("\r\n", "\n")
    # The terminal folds what is too long; the program breaks no line, so that what is copied is whole.
    assert line_with(text, "grpcurl -plaintext", f"127.0.0.1:{port} antiphon.auth.v1.AuthService/Login")
    assert line_with(text, " login ", f"chat --server 127.0.0.1:{port} 'Hello'")
    assert not line_with(text, "serving").startswith("{")  # on a terminal the log is for people


def test_the_data_directory_may_be_anywhere_and_is_kept(tmp_path: Path, start_suite: StartSuite) -> None:
    place = "/".join(["a place with  spaces", "and 'quotes'", "ünï cødé", *["deep" * 10] * 5])
    suite = start_suite(data_dir=place).up()  # given relative to where the suite is started
    assert len(str(suite.data_dir)) > 200
    assert str(suite.data_dir) in suite.out
    password = suite.password or ""
    assert suite.stop() == 0
    suite = start_suite(data_dir=tmp_path / place, port=suite.port).up()
    assert suite.password is None
    assert suite.log_in("admin@antiphon.local", password)
    assert suite.data_dir.stat().st_mode & 0o077 == 0
    assert suite.stop() == 0


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become somebody else; otherwise all tests are this one"
)
def test_as_an_ordinary_user() -> None:
    prefix = as_nobody()
    folder = Path(tempfile.mkdtemp(prefix="antiphon-ordinary-", dir="/tmp"))
    os.chown(folder, NOBODY, NOBODY)
    command = [*prefix, *COMMAND, "serve", "--port", "0", "--data-dir", "data"]
    try:
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            suite = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=out, stderr=err)
        deadline = time.monotonic() + 40
        while "Antiphon is up" not in (folder / "out").read_text() and time.monotonic() < deadline:
            assert suite.poll() is None, (folder / "err").read_text()
            time.sleep(0.02)
        suite.terminate()
        assert suite.wait(30) == 0
        assert {path.stat().st_uid for path in (folder / "data").rglob("*")} == {NOBODY}
    finally:
        shutil.rmtree(folder)
