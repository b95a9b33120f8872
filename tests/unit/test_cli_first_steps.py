"""What the first start tells its operator to paste."""

from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from services.bootstrap.running import Administrator
from services.bootstrap.suite import SERVICES
from services.cli.program import program
from services.cli.serve import announce


def suite(*services: str, recorded: bool = True, tls: bool = False) -> Any:
    """As much of a suite as its announcement looks at."""
    return SimpleNamespace(
        services=services,
        settings=SimpleNamespace(
            server=SimpleNamespace(reflection=True), analytics=SimpleNamespace(enabled=recorded)
        ),
        server=SimpleNamespace(
            address="127.0.0.1:50061", reachable_address="127.0.0.1:50061", speaks_tls=tls
        ),
        data="data",
        metrics_port=None,
        health=SimpleNamespace(broken={}),
    )


def told(capsys: pytest.CaptureFixture[str], *services: str) -> str:
    announce(suite(*services), Administrator("admin@example.com", "it's secret"))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if " login " in line)
    return line


def test_the_line_keeps_the_password_out_of_the_list_of_processes(capsys: pytest.CaptureFixture[str]) -> None:
    line = told(capsys, "auth", "chat")
    before, pipe, after = line.partition(" | ")
    assert pipe
    assert before == """printf '%s\\n' 'it'"'"'s secret'"""
    assert "--password-stdin admin@example.com && " in after
    assert after.endswith("chat --server 127.0.0.1:50061 'Hello'")


def test_a_server_without_chat_is_not_told_to_chat(capsys: pytest.CaptureFixture[str]) -> None:
    line = told(capsys, "auth")
    assert " chat" not in line
    assert line.endswith("whoami --server 127.0.0.1:50061")


def test_over_tls_the_lines_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    announce(suite("auth", tls=True), Administrator("admin@example.com", "secret"))
    out = capsys.readouterr().out
    assert "  address  https://127.0.0.1:50061" in out
    assert "whoami --server https://127.0.0.1:50061" in out
    assert "ANTIPHON_CA" in out
    assert "-plaintext" not in out


@pytest.mark.parametrize(
    ("services", "recorded", "told"),
    [(("auth", "chat"), False, True), (("auth", "chat"), True, False), (("auth",), False, False)],
)
def test_that_usage_is_not_recorded_is_announced(
    capsys: pytest.CaptureFixture[str], services: tuple[str, ...], recorded: bool, told: bool
) -> None:
    announce(suite(*services, recorded=recorded), None)
    line = "  usage    not recorded (ENABLE_ANALYTICS=false)"
    assert (line in capsys.readouterr().out.splitlines()) is told


def test_the_help_names_every_service() -> None:
    told = CliRunner().invoke(program(["serve", "--help"]), ["serve", "--help"], prog_name="antiphon")
    assert f"{', '.join(SERVICES)};" in told.output
