"""docs/grpcurl.md, line by line: what it says can be pasted is pasted into a shell, for a suite that has just been started."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

from tests.fakes.certificates import Authority, lay_down
from tests.peers.suite import Suite, running_suite

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTORS = ROOT / "gen" / "python" / "antiphon" / "descriptors.binpb"
# What follows `sh` after a fence: the status that the lines below end with, where they do not succeed; `tls` are for another suite.
BLOCK = re.compile(r"^```sh ?(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^##+ (.+?)$(.*?)(?=^##+ |\Z)", re.MULTILINE | re.DOTALL)
CODES = {code.name: code.value[0] for code in grpc.StatusCode}
LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Line:
    """A line of the page, and the exit status that it is to have."""

    text: str
    status: int


@dataclass(frozen=True)
class Done:
    """A line that was run."""

    line: Line
    status: int
    output: str
    errors: str


def lines_of(page: str, *, tls: bool = False) -> list[Line]:
    return [
        Line(text, 64 + CODES[word] if word in CODES else 0)
        for word, block in BLOCK.findall(page)
        for text in block.splitlines()
        if (word == "tls") == tls
    ]


def page() -> str:
    return (ROOT / "docs" / "grpcurl.md").read_text(encoding="utf-8")


def section(name: str, *, tls: bool = False) -> list[Line]:
    """The lines below one heading."""
    (body,) = (body for heading, body in SECTION.findall(page()) if heading == name)
    return lines_of(body, tls=tls)


def password_of(suite: Suite) -> str:
    """The password of the administrator whom the first start has made."""
    return next(line.split()[1] for line in suite.announced.splitlines() if line.startswith("  password "))


class Terminal:
    """A shell beside a suite, in a checkout whose descriptors have been made."""

    def __init__(self, suite: Suite, grpcurl_program: Path, folder: Path) -> None:
        self.folder = folder
        self._environment = suite.environment()
        programs = (str(grpcurl_program.parent), str(Path(sys.executable).parent), self._environment["PATH"])
        self._environment["PATH"] = os.pathsep.join(programs)
        password = password_of(suite)
        # What people type and the suite's port are all that is not run as it stands.
        self._typed = {
            "antiphon login admin@antiphon.local": f"printf '%s\\n' '{password}' | "
            "antiphon login admin@antiphon.local --password-stdin",
            "at=127.0.0.1:50051": f"at={suite.address}",
        }
        (folder / "build").mkdir()
        (folder / "build" / "antiphon.binpb").write_bytes(DESCRIPTORS.read_bytes())

    def paste(self, lines: Sequence[Line]) -> list[Done]:
        """Runs the lines one after the other in one shell."""
        script = ["set -o pipefail"]
        for number, line in enumerate(lines):
            text = self._typed.get(line.text, line.text)
            script.append(f"{{ {text}\n}} > out.{number} 2> err.{number}; echo $? > status.{number}")
        subprocess.run(
            ["bash"],
            input="\n".join(script) + "\n",
            cwd=self.folder,
            env=self._environment,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_SECONDS,
            check=True,
        )
        return [
            Done(line, int(self._read(f"status.{n}")), self._read(f"out.{n}"), self._read(f"err.{n}"))
            for n, line in enumerate(lines)
        ]

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def surprises(done: Sequence[Done]) -> list[str]:
    return [
        f"{each.line.text}\nended with {each.status} instead of {each.line.status}:\n{each.errors}"
        for each in done
        if each.status != each.line.status
    ]


@pytest.fixture(scope="module")
def pasted(
    grpcurl_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, list[Done]]]:
    """The whole page, pasted."""
    folder = tmp_path_factory.mktemp("checkout")
    with running_suite(tmp_path_factory.mktemp("suite")) as suite:
        yield folder, Terminal(suite, grpcurl_program, folder).paste(lines_of(page()))


def test_every_line_ends_as_the_page_says(pasted: tuple[Path, list[Done]]) -> None:
    _, done = pasted
    assert surprises(done) == []


def test_what_people_may_not_call_is_refused_for_their_role(pasted: tuple[Path, list[Done]]) -> None:
    _, done = pasted
    refused = [each for each in done if each.line.status == 64 + CODES["PERMISSION_DENIED"]]
    assert len(refused) == 10
    assert [each.line.text for each in refused if '"reason": "ROLE_REQUIRED"' not in each.errors] == []


def test_a_failure_looks_as_the_page_shows(pasted: tuple[Path, list[Done]]) -> None:
    _, done = pasted
    (shown,) = re.findall(r"^```text\n(ERROR:.*?)^```", page(), re.MULTILINE | re.DOTALL)
    (failed,) = (each for each in done if each.line.status == 64 + CODES["INVALID_ARGUMENT"])
    assert shown.strip() == failed.errors.strip()


def test_downloads_are_files(pasted: tuple[Path, list[Done]]) -> None:
    folder, _ = pasted
    assert (folder / "lighthouse.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert (folder / "hola.wav").read_bytes()[:4] == b"RIFF"
    assert (folder / "events.csv").read_text(encoding="utf-8").startswith("event_id,")


def test_without_reflection_the_file_of_descriptors_stands_in(
    grpcurl_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, without = section("Before the first call"), section("Without reflection")
    until = next(number for number, line in enumerate(first) if line.text.startswith("grpcurl "))
    keys = [
        replace(line, text=line.text.replace("-plaintext", "-plaintext -protoset build/antiphon.binpb"))
        for line in section("ApiKeyService")
    ]
    # What needs reflection ends with grpcurl's own failure.
    listing = replace(first[until], status=1)
    folder = tmp_path_factory.mktemp("checkout")
    with running_suite(tmp_path_factory.mktemp("suite"), ANTIPHON_SERVER__REFLECTION="false") as suite:
        done = Terminal(suite, grpcurl_program, folder).paste([*first[:until], listing, *without, *keys])
    assert surprises(done) == []
    assert "reflection" in done[until].errors


def test_the_line_for_tls_shows_a_certificate_and_checks_the_servers(
    grpcurl_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, keys, authority = (
        tmp_path_factory.mktemp("checkout"),
        tmp_path_factory.mktemp("keys"),
        Authority(),
    )
    certificate, key = authority.issue("127.0.0.1").write(keys, "server")
    ca = lay_down(folder / "ca.pem", authority.pem)
    authority.issue(common_name="me").write(folder, "client")
    settings = {
        "ANTIPHON_SERVER__TLS_CERTIFICATE": str(certificate),
        "ANTIPHON_SERVER__TLS_KEY": str(key),
        "ANTIPHON_SERVER__TLS_CLIENT_CA": str(ca),
    }
    first, (shown,) = section("Before the first call"), section("Over TLS", tls=True)
    with running_suite(tmp_path_factory.mktemp("suite"), **settings) as suite:
        login = json.dumps({"email": "admin@antiphon.local", "password": password_of(suite)})
        call = f"grpcurl -cacert ca.pem -cert client.pem -key client.key -d '{login}' $at antiphon.auth.v1.AuthService/Login"
        me = Line(f'me="authorization: Bearer $({call} | field accessToken)"', 0)
        prepared = [line for line in first if line.text.startswith(("at=", "field()"))]
        hasty = shown.text.replace("grpcurl ", "grpcurl -connect-timeout 2 ")
        plain = Line(hasty.replace("-cacert ca.pem -cert client.pem -key client.key", "-plaintext"), 1)
        unknown = Line(hasty.replace("-cacert ca.pem ", ""), 1)
        done = Terminal(suite, grpcurl_program, folder).paste([*prepared, me, shown, plain, unknown])
    assert surprises(done) == []
    assert json.loads(done[-3].output)["user"]["role"] == "ROLE_ADMIN"
