"""The life of accounts, logins and keys from the command line, over a suite that runs; and a password that the operator resets."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.program import program
from tests.e2e.conftest import StartSuite
from tests.e2e.suite_process import COMMAND, SuiteProcess, environment
from tests.peers.programs import eventually

pytestmark = pytest.mark.long

PASSWORD = "correct horse battery"
UNKNOWN = "0198c5a2-0000-7000-8000-0000000000ff"


class Device:
    """A machine from which somebody calls: a home of its own for login sessions. Commands run within this process, which is quicker."""

    def __init__(self, folder: Path, address: str) -> None:
        self._environment = environment(folder) | {"ANTIPHON_SERVER": address}

    def run(self, *arguments: str, stdin: str = "", **more: str) -> Result:
        absent = dict.fromkeys(name for name in os.environ if name not in self._environment)
        return CliRunner().invoke(
            program(list(arguments)), arguments, input=stdin, env=absent | self._environment | more
        )

    def __call__(self, *arguments: str, stdin: str = "", **more: str) -> str:
        """What a command prints that succeeds."""
        done = self.run(*arguments, stdin=stdin, **more)
        assert done.exit_code == 0, f"{arguments}: {done.stderr}"
        return done.stdout.removesuffix("\n")

    def json(self, *arguments: str, **more: str) -> Any:
        return json.loads(self(*arguments, "--json", **more))

    def refused(self, *arguments: str, stdin: str = "", **more: str) -> tuple[str, str]:
        """The reason, and all that is told, of a command that fails."""
        done = self.run(*arguments, "--json", stdin=stdin, **more)
        assert (done.exit_code, done.stdout) == (1, ""), f"{arguments}: {done.stdout}"
        assert "Traceback" not in done.stderr
        return json.loads(done.stderr)["error"]["reason"], done.stderr


def on_the_server(suite: SuiteProcess, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`users reset-password` as the operator calls it."""
    return subprocess.run(
        [*COMMAND, "users", "reset-password", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=suite.folder,
        env=environment(suite.folder),
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    running = SuiteProcess(tmp_path_factory.mktemp("people"))
    try:
        yield running.up()
    finally:
        running.kill()


def test_a_life_from_its_making_to_its_deletion(suite: SuiteProcess, tmp_path: Path) -> None:
    admin = Device(tmp_path / "admin", suite.address)
    laptop, phone = Device(tmp_path / "laptop", suite.address), Device(tmp_path / "phone", suite.address)
    admin("login", "admin@antiphon.local", "--password-stdin", stdin=f"{suite.password}\n")

    made = admin("users", "create", "Bo@Example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert made == "made Bo@Example.com (user)"
    assert admin.refused("users", "create", "bo@example.COM", "--password", PASSWORD)[0] == "EMAIL_TAKEN"
    bo = admin.json("users", "show", "bo@example.com")["userId"]
    assert admin.json("users", "show", bo)["email"] == "Bo@Example.com"

    # Bo's logins: one is ended from the other.
    for device in (laptop, phone):
        device("login", "bo@example.com", "--password", PASSWORD)
    logins = laptop.json("logins", "list")["sessions"]
    assert [login["current"] for login in logins] == [False, True]
    assert phone("whoami").startswith("Bo@Example.com (user)")
    laptop("logins", "revoke", logins[0]["sessionId"])
    eventually(lambda: phone.run("whoami").exit_code == 1, "the end of the phone's login", 5)
    assert phone.refused("whoami")[0] == "TOKEN_REVOKED"
    assert [login["sessionId"] for login in laptop.json("logins", "list")["sessions"]] == [
        logins[1]["sessionId"]
    ]

    # Keys: made, used, rotated, revoked.
    key = laptop("keys", "create", "ci", "--scope", "profile.read,keys.read", "--expires", "1d")
    assert key.startswith("ak_")
    assert "\n" not in key
    assert phone("whoami", ANTIPHON_TOKEN=key).endswith(bo)
    reason, told = phone.refused("keys", "create", "more", "--scope", "keys.read", ANTIPHON_TOKEN=key)
    assert reason == "SCOPE_REQUIRED"
    assert "keys.write" in told
    listed = phone.json("keys", "list", ANTIPHON_TOKEN=key)["apiKeys"]
    assert [each["displayName"] for each in listed] == ["ci"]
    key_id = listed[0]["apiKeyId"]
    second = laptop("keys", "rotate", key_id, "--grace", "0")
    assert phone("whoami", ANTIPHON_TOKEN=second).endswith(bo)
    eventually(
        lambda: phone.run("whoami", ANTIPHON_TOKEN=key).exit_code == 1, "the end of the first secret", 5
    )
    assert phone.refused("whoami", ANTIPHON_TOKEN=key)[0] == "API_KEY_INVALID"
    laptop("keys", "revoke", key_id)
    eventually(lambda: phone.run("whoami", ANTIPHON_TOKEN=second).exit_code == 1, "the end of the key", 5)
    assert laptop.refused("keys", "rotate", key_id)[0] == "API_KEY_ENDED"
    assert laptop.refused("keys", "revoke", UNKNOWN)[0] == "NOT_FOUND"

    # A role changes what Bo may do, without another login.
    assert laptop.refused("users", "list")[0] == "ROLE_REQUIRED"
    assert laptop.refused("logins", "list", "--user", "admin@antiphon.local")[0] == "ROLE_REQUIRED"
    assert admin("users", "set-role", "bo@example.com", "admin") == "Bo@Example.com is now admin"
    eventually(lambda: laptop.run("users", "list").exit_code == 0, "Bo's new role", 5)
    admin("users", "set-role", "bo@example.com", "user")
    assert admin.refused("users", "set-role", "admin@antiphon.local", "user")[0] == "LAST_ADMINISTRATOR"
    assert admin.refused("users", "disable", "admin@antiphon.local")[0] == "LAST_ADMINISTRATOR"
    assert admin.refused("users", "delete", "admin@antiphon.local", "--yes")[0] == "LAST_ADMINISTRATOR"

    # Disabled, enabled, deleted.
    admin("users", "disable", "bo@example.com")
    eventually(lambda: laptop.run("whoami").exit_code == 1, "the end of Bo's access", 5)
    assert phone.refused("login", "bo@example.com", "--password", PASSWORD)[0] == "ACCOUNT_DISABLED"
    admin("users", "enable", "bo@example.com")
    phone("login", "bo@example.com", "--password", PASSWORD)
    admin("users", "delete", bo, "--yes")
    eventually(lambda: phone.run("whoami").exit_code == 1, "the end of Bo", 5)
    assert admin.refused("users", "show", "bo@example.com")[0] == "NOT_FOUND"
    assert admin.refused("users", "delete", bo, "--yes")[0] == "NOT_FOUND"
    actions = [event["action"] for event in admin.json("users", "audit", "--user", bo)["auditEvents"]]
    assert actions[0] == "user.delete"
    assert {"user.create", "user.login", "session.revoke", "key.create", "key.rotate", "key.revoke"} <= set(
        actions
    )


def test_a_person_changes_their_password(suite: SuiteProcess, tmp_path: Path) -> None:
    laptop, phone = Device(tmp_path / "laptop", suite.address), Device(tmp_path / "phone", suite.address)
    laptop("register", "ana@example.com", "--password", PASSWORD)
    for device in (laptop, phone):
        device("login", "ana@example.com", "--password", PASSWORD)
    wrong = laptop.refused("password", "--password-stdin", stdin="nothing like it\nanother horse battery\n")
    assert wrong[0] == "INVALID_CREDENTIALS"
    common = laptop.refused("password", "--password-stdin", stdin=f"{PASSWORD}\npassword\n")
    assert "new_password" in common[1]
    laptop("password", "--password-stdin", stdin=f"{PASSWORD}\nanother horse battery\n")
    eventually(lambda: phone.run("whoami").exit_code == 1, "the end of the other login", 5)
    assert laptop("whoami").startswith("ana@example.com")
    phone("login", "ana@example.com", "--password", "another horse battery")


@pytest.mark.long
def test_the_operator_resets_a_password_with_and_without_the_suite(
    start_suite: StartSuite, tmp_path: Path
) -> None:
    suite = start_suite().up()
    device = Device(tmp_path / "device", suite.address)
    device("login", "admin@antiphon.local", "--password", suite.password or "")
    done = on_the_server(suite, "ADMIN@antiphon.local", "--data-dir", "data")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) >= 16
    eventually(lambda: device.run("whoami").exit_code == 1, "the end of the login session", 5)
    device("login", "admin@antiphon.local", "--password", done.stdout.removesuffix("\n"))

    unknown = on_the_server(suite, "nobody@example.com", "--data-dir", "data")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no account with the e-mail nobody@example.com" in unknown.stderr
    elsewhere = on_the_server(suite, "admin@antiphon.local", "--data-dir", "none")
    assert "no deployment" in elsewhere.stderr
    assert not (suite.folder / "none").exists()

    assert suite.stop() == 0
    options = ("admin@antiphon.local", "--password-stdin", "--data-dir", "data")
    common = on_the_server(suite, *options, stdin="password\n")
    assert common.returncode == 1
    assert "common" in common.stderr
    given = on_the_server(suite, *options, stdin=f"{PASSWORD}\n")
    assert (given.returncode, given.stdout) == (0, "admin@antiphon.local has the new password\n"), (
        given.stderr
    )
    again = start_suite(port=suite.port).up()
    assert again.password is None
    device("login", "admin@antiphon.local", "--password", PASSWORD)
