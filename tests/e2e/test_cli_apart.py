"""Auth and Chat at addresses of their own: what the command line says there, and how a login at one is used at the other."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.capabilities.identity.propagation import LEARNT_SECONDS
from tests.e2e.suite_process import COMMAND, SuiteProcess, environment

StartSuite = Callable[..., SuiteProcess]


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(folder, more),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.long
def test_a_login_at_auth_is_used_at_chat(tmp_path: Path, migrated_url: str, start_suite: StartSuite) -> None:
    settings = {"DATABASE_URL": migrated_url, "ANTIPHON_SECRET_KEY": "0123456789" * 4}
    auth = start_suite(tmp_path / "auth", services=["auth"], settings=settings).up()
    (pasted,) = (line for line in auth.out.splitlines() if " login " in line)
    assert " chat" not in pasted
    peer = {**settings, "ANTIPHON_PEERS__AUTH": auth.address}
    chat = start_suite(tmp_path / "chat", services=["chat"], settings=peer).up()
    assert " login " not in chat.out

    bash = subprocess.run(
        ["bash", "-c", pasted],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert bash.returncode == 0, bash.stderr
    assert "admin@antiphon.local (admin)" in bash.stdout

    login = run(tmp_path, "login", "a@example.com", "--password", "x", "--server", chat.address)
    assert login.returncode == 1
    assert "does not serve this" in login.stderr
    assert "antiphon login --server AUTH" in login.stderr
    chats = run(tmp_path, "chats", "list", "--server", chat.address)
    assert f"ANTIPHON_TOKEN=$(antiphon token --server {auth.address})" in chats.stderr

    token = run(tmp_path, "token", "--server", auth.address).stdout.strip()
    answered = run(tmp_path, "chat", "Hello", "--server", chat.address, ANTIPHON_TOKEN=token)
    assert "Hello" in answered.stdout, answered.stderr
    kept = run(tmp_path, "chats", "list", "--json", "--server", chat.address, ANTIPHON_TOKEN=token)
    assert len(json.loads(kept.stdout)["sessions"]) == 1, kept.stderr

    # A key that is dropped at once costs nobody a login: the refused token is renewed.
    dropped = run(tmp_path, "signing-keys", "rotate", "--leaked", **settings)
    assert dropped.returncode == 0, dropped.stderr
    last = time.monotonic() + 4 * LEARNT_SECONDS
    while run(tmp_path, "token", "--server", auth.address).stdout.strip() == token:
        assert time.monotonic() < last, "nothing refused the token"
        whoami = run(tmp_path, "whoami", "--server", auth.address)
        assert whoami.returncode == 0, whoami.stderr
