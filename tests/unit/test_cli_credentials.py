"""The file of login sessions: its owner's alone, a session per server, whole at any moment."""

import os
import stat
import threading
from pathlib import Path

import pytest

from antiphon_client import Tokens
from services.cli.credentials import CredentialsFile, credentials_file
from services.cli.output import CommandFailed

TOKENS = Tokens("access", 1.5, "refresh", 2.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "antiphon" / "credentials.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_saved_is_loaded_per_server(path: Path) -> None:
    here, there = CredentialsFile("127.0.0.1:50051", path), CredentialsFile("example.com:443", path)
    assert here.load() is None
    here.save(TOKENS)
    there.save(Tokens("other"))
    assert (here.load(), there.load()) == (TOKENS, Tokens("other"))
    here.save(None)
    assert (here.load(), there.load()) == (None, Tokens("other"))


def test_only_the_owner_can_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        store = CredentialsFile("s", path)
        with store.exclusive():
            store.save(TOKENS)
    finally:
        os.umask(old)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}
    path.chmod(0o644)
    store.save(TOKENS)
    assert mode(path) == 0o600


def test_a_save_that_fails_leaves_the_old_sessions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CredentialsFile("s", path)
    store.save(TOKENS)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandFailed, match="No space left"):
        store.save(Tokens("new"))
    assert store.load() == TOKENS
    assert [file.name for file in path.parent.iterdir()] == ["credentials.json"]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    CredentialsFile("s", path).save(TOKENS)
    assert path.is_symlink()
    assert "access" in target.read_text()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"servers": 1}', '{"servers": {"s": 1}}', '{"servers": {"s": {"x": 1}}}', "\udc80"],
)
def test_a_file_of_another_make_is_refused_with_advice(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CommandFailed) as caught:
        CredentialsFile("s", path).load()
    assert "Remove the file" in caught.value.advice


def test_one_holds_it_at_a_time(path: Path) -> None:
    inside, entered, release = [], threading.Event(), threading.Event()

    def hold() -> None:
        with CredentialsFile("s", path).exclusive():
            entered.set()
            release.wait(10)
            inside.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(5)
    release_soon = threading.Timer(0.05, release.set)
    release_soon.start()
    with CredentialsFile("s", path).exclusive():
        inside.append("second")
    thread.join()
    assert inside == ["first", "second"]


def test_it_is_in_the_folder_that_the_platform_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert credentials_file() == tmp_path / "antiphon" / "credentials.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert credentials_file() == Path.home() / ".config" / "antiphon" / "credentials.json"
