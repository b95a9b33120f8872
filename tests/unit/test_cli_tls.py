"""The client commands over TLS: what the environment names, and what they tell when it does not fit the server."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.program import program
from services.settings import ServerSettings
from tests.fakes.certificates import Authority, lay_down
from tests.fakes.runtime_services import running

AUTHORITY, STRANGER = Authority(), Authority("Nobody's")
Call = Callable[..., str]


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs `antiphon whoami`; what it told, on one line."""
    for name in ("ANTIPHON_SERVER", "ANTIPHON_CA", "ANTIPHON_CLIENT_CERTIFICATE", "ANTIPHON_CLIENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ANTIPHON_TOKEN", "user")

    def whoami(server: str, **environ: Path) -> str:
        with monkeypatch.context() as patched:
            for name, path in environ.items():
                patched.setenv(name, str(path))
            result = CliRunner().invoke(program(["whoami"]), ["whoami", "--server", server])
        return " ".join(result.output.split())

    return whoami


def pem(folder: Path, authority: Authority, name: str = "ca.pem") -> Path:
    return lay_down(folder / name, authority.pem)


async def test_the_environment_says_whom_to_trust_and_what_to_show(
    tmp_path: Path, log_file: int, call: Call
) -> None:
    ca, other = pem(tmp_path, AUTHORITY), pem(tmp_path, STRANGER, "other.pem")
    certificate, key = AUTHORITY.issue().write(tmp_path, "server")
    mine, my_key = AUTHORITY.issue().write(tmp_path, "mine")
    settings = ServerSettings(port=0, grace=0.2, tls_certificate=certificate, tls_key=key)
    async with running(log_file, settings=settings) as suite:
        server = f"https://{suite.server.address}"
        assert "ana" in await asyncio.to_thread(call, server, ANTIPHON_CA=ca)
        for told in (
            await asyncio.to_thread(call, server),
            await asyncio.to_thread(call, server, ANTIPHON_CA=other),
        ):
            assert f"{server} can't be spoken to over TLS: its certificate is signed by no authority" in told
            assert "set ANTIPHON_CA" in told
        # This machine is spoken to in plain text unless the address says otherwise.
        told = await asyncio.to_thread(call, suite.server.address, ANTIPHON_CA=ca)
        assert f"If it speaks TLS: --server {server}" in told
        AUTHORITY.issue("elsewhere.test").write(tmp_path, "server")
        told = await asyncio.to_thread(call, server, ANTIPHON_CA=ca)
        assert "for another name" in told
    AUTHORITY.issue().write(tmp_path, "server")
    settings = ServerSettings(port=0, grace=0.2, tls_certificate=certificate, tls_key=key, tls_client_ca=ca)
    async with running(log_file, settings=settings) as suite:
        server = f"https://{suite.server.address}"
        told = await asyncio.to_thread(call, server, ANTIPHON_CA=ca)
        assert "broke the connection off" in told
        assert "ANTIPHON_CLIENT_CERTIFICATE" in told
        shown = {"ANTIPHON_CA": ca, "ANTIPHON_CLIENT_CERTIFICATE": mine, "ANTIPHON_CLIENT_KEY": my_key}
        assert "ana" in await asyncio.to_thread(call, server, **shown)
    async with running(log_file) as suite:
        told = await asyncio.to_thread(call, f"https://{suite.server.address}", ANTIPHON_CA=ca)
        assert "it does not speak TLS" in told
        # Plain text needs none of them.
        assert "ana" in await asyncio.to_thread(call, suite.server.address, ANTIPHON_CA=tmp_path / "nowhere")


def test_files_that_can_not_be_used_are_named(tmp_path: Path, call: Call) -> None:
    server, ca = "https://127.0.0.1:1", pem(tmp_path, AUTHORITY)
    _, key = AUTHORITY.issue().write(tmp_path, "mine")
    nowhere = tmp_path / "nowhere"
    assert "ANTIPHON_CA:" in call(server, ANTIPHON_CA=nowhere)
    assert "No such file" in call(server, ANTIPHON_CA=nowhere)
    assert "holds no certificate in PEM form" in call(server, ANTIPHON_CA=key)
    assert "Set ANTIPHON_CLIENT_CERTIFICATE, too." in call(server, ANTIPHON_CLIENT_KEY=key)
    assert "holds no private key" in call(server, ANTIPHON_CLIENT_CERTIFICATE=ca, ANTIPHON_CLIENT_KEY=ca)
