"""`users`, `logins`, `keys` and `password` against a server that plays accounts: what they print and send, and how they refuse."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from typer.testing import CliRunner, Result

from services.cli.durations import duration, moment
from services.cli.output import CommandFailed
from services.cli.program import COMMANDS, program
from tests.scripted_accounts import ScriptedAccounts
from tests.scripted_server import access_token, failing

Antiphon = Callable[..., Result]
UNKNOWN = "0198c5a2-0000-7000-8000-0000000000ff"


@pytest.fixture
def server() -> Iterator[ScriptedAccounts]:
    with ScriptedAccounts() as scripted:
        yield scripted


@pytest.fixture
def antiphon(server: ScriptedAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe."""
    monkeypatch.setenv("ANTIPHON_SERVER", server.address)
    monkeypatch.setenv("ANTIPHON_TOKEN", "ak_abc_secret")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(
            program(list(arguments)), list(arguments), input=stdin, prog_name="antiphon"
        )

    return run


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(result: Result, *texts: str, status: int = 1) -> None:
    assert result.exit_code == status, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in result.stderr


def test_an_account_is_found_by_its_e_mail_ignoring_case_and_form(
    antiphon: Antiphon, server: ScriptedAccounts
) -> None:
    server.add_user("Ana@Example.com")
    server.add_user("not-ana@example.com")
    assert parsed(antiphon("users", "show", "ANA@example.COM", "--json"))["email"] == "Ana@Example.com"
    by_id = antiphon("users", "show", server.users[1].user_id)
    assert "e-mail\tAna@Example.com\n" in by_id.stdout
    assert "role\tuser\n" in by_id.stdout


@pytest.mark.parametrize(
    ("who", "text", "status"),
    [
        ("na@example.com", "no account with the e-mail na@example.com", 1),
        ("ana", "neither an e-mail nor the id", 2),
        (UNKNOWN, "was not found", 1),
    ],
)
def test_an_account_that_is_not_there(
    antiphon: Antiphon, server: ScriptedAccounts, who: str, text: str, status: int
) -> None:
    server.add_user("ana@example.com")
    for command in (("show", who), ("disable", who), ("set-role", who, "admin"), ("delete", who, "--yes")):
        refused(antiphon("users", *command), text, status=status)
    assert len(server.users) == 1
    assert not server.of("UpdateUser")


def test_users_are_listed_in_a_pipe(antiphon: Antiphon, server: ScriptedAccounts) -> None:
    server.add_user("ana@example.com", auth_pb2.ROLE_ADMIN)
    server.add_user("bo@example.com").disabled = True
    lines = [line.split("\t") for line in antiphon("users", "list").stdout.splitlines()]
    assert [line[1:4] for line in lines] == [
        ["bo@example.com", "user", "disabled"],
        ["ana@example.com", "admin", "active"],
    ]
    assert len(antiphon("users", "list", "--role", "admin").stdout.splitlines()) == 1
    assert len(parsed(antiphon("users", "list", "--limit", "1", "--json"))["users"]) == 1
    nobody = antiphon("users", "list", "--query", "nobody")
    assert (nobody.exit_code, nobody.stdout) == (0, "")


def test_an_administrator_makes_changes_and_deletes_an_account(
    antiphon: Antiphon, server: ScriptedAccounts
) -> None:
    made = antiphon(
        "users", "create", "bo@example.com", "--role", "admin", "--password-stdin", stdin="secret one\n"
    )
    assert made.stdout == "made bo@example.com (admin)\n"
    assert server.of("CreateUser")[0].request.password == "secret one"  # type: ignore[attr-defined]
    assert (
        parsed(antiphon("users", "set-role", "bo@example.com", "service", "--json"))["role"] == "ROLE_SERVICE"
    )
    assert antiphon("users", "disable", "bo@example.com").stdout == "bo@example.com is disabled\n"
    assert [user.disabled for user in server.users] == [True]
    assert antiphon("users", "enable", "bo@example.com").exit_code == 0
    assert [user.disabled for user in server.users] == [False]
    refused(antiphon("users", "delete", "bo@example.com"), "--yes", status=2)
    server.loses = {"DeleteUser"}
    bo = server.users[0].user_id
    assert antiphon("users", "delete", "bo@example.com", "--yes").stdout == f"deleted bo@example.com ({bo})\n"
    assert server.users == []


def test_a_taken_e_mail_leads_to_the_account(antiphon: Antiphon, server: ScriptedAccounts) -> None:
    server.fail("CreateUser", failing(grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN", "log in with it"))
    done = antiphon("users", "create", "bo@example.com", "--password", "secret one")
    refused(done, "exists already", "antiphon users show bo@example.com")


def test_login_sessions_are_listed_and_revoked(
    antiphon: Antiphon, server: ScriptedAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_TOKEN", access_token("one"))
    ana = server.add_user("ana@example.com")
    server.logins = [
        auth_pb2.Session(session_id="one", device_name="laptop", current=True),
        auth_pb2.Session(session_id="two", device_name="phone"),
    ]
    lines = antiphon("logins", "list").stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["one *", "laptop"], ["two", "phone"]]
    assert antiphon("logins", "revoke", "two").stderr == ""
    assert "this one" in antiphon("logins", "revoke", "one").stderr
    assert antiphon("logins", "list", "--user", "ana@example.com").exit_code == 0
    assert server.of("ListLoginSessions")[-1].request.user_id == ana.user_id  # type: ignore[attr-defined]
    assert antiphon("logins", "revoke", "two", "--user", UNKNOWN).exit_code == 0
    assert server.of("RevokeSession")[-1].request.user_id == UNKNOWN  # type: ignore[attr-defined]
    refused(antiphon("logins", "revoke", "three"), "was not found")


def test_a_secret_is_alone_on_standard_output(antiphon: Antiphon, server: ScriptedAccounts) -> None:
    made = antiphon(
        "keys", "create", "ci", "--scope", "chat.write,chat.read", "--scope", "chat.read", "--expires", "90d"
    )
    assert made.stdout == "ak_abc_first\n"
    key = server.keys[0]
    assert key.api_key_id in made.stderr
    assert list(key.scopes) == ["chat.write", "chat.read"]
    left = key.expire_time.ToDatetime() - key.create_time.ToDatetime()
    assert timedelta(days=89, hours=23) < left <= timedelta(days=90, minutes=1)
    rotated = antiphon("keys", "rotate", key.api_key_id, "--grace", "10m")
    assert rotated.stdout == "ak_abc_second\n"
    assert server.of("RotateApiKey")[0].request.grace.seconds == 600  # type: ignore[attr-defined]
    assert "is refused after 20" in rotated.stderr
    assert "is refused from now on" in antiphon("keys", "rotate", key.api_key_id, "--grace", "0").stderr
    told = parsed(antiphon("keys", "create", "other", "--scope", "chat.read", "--json"))
    assert (told["secret"], told["apiKey"]["displayName"]) == ("ak_abc_first", "other")
    assert parsed(antiphon("keys", "rotate", key.api_key_id, "--json"))["secret"] == "ak_abc_second"
    assert antiphon("keys", "revoke", key.api_key_id).stdout == "revoked\n"
    states = [line.split("\t")[1:4] for line in antiphon("keys", "list").stdout.splitlines()]
    assert states == [["other", "ak_abc_…", "good"], ["ci", "ak_abc_…", "revoked"]]


def test_a_secret_that_got_lost_is_told_with_the_way_to_a_new_one(
    antiphon: Antiphon, server: ScriptedAccounts
) -> None:
    server.loses = {"CreateApiKey"}
    done = antiphon("keys", "create", "ci", "--scope", "chat.write")
    refused(done, "was lost", f"antiphon keys rotate {server.keys[0].api_key_id} --grace 0")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("keys", "create", "ci"), "--scope"),
        (("keys", "create", "ci", "--scope", "chat.write", "--expires", "soon"), "90d"),
        (("keys", "create", "ci", "--scope", "chat.write", "--expires", "2027-13-31"), "2027-01-31"),
        (("keys", "create", "ci", "--scope", "chat.write", "--expires", "999999999w"), "too"),
        (("keys", "rotate", UNKNOWN, "--grace", "1 year"), "--grace"),
        (("users", "create", "bo@example.com"), "--password-stdin"),
        (("users", "create", "bo@example.com", "--password-stdin"), "ended before"),
        (("users", "set-role", "bo@example.com", "king"), "king"),
        (("password",), "--password-stdin"),
        (("password", "--password-stdin"), "ended before"),
    ],
)
def test_what_is_written_wrongly_reaches_no_server(
    antiphon: Antiphon, server: ScriptedAccounts, arguments: tuple[str, ...], text: str
) -> None:
    refused(antiphon(*arguments), text, status=2)
    assert server.calls == []


def test_a_password_is_changed(antiphon: Antiphon, server: ScriptedAccounts) -> None:
    done = antiphon("password", "--password-stdin", stdin="the old one\nthe new one\n")
    assert done.exit_code == 0, done.stderr
    request = server.of("ChangePassword")[0].request
    assert isinstance(request, auth_pb2.ChangePasswordRequest)
    assert (request.current_password, request.new_password) == ("the old one", "the new one")
    wrong = failing(grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS", "e-mail or password is wrong")
    server.fail("ChangePassword", wrong)
    refused(antiphon("password", "--password-stdin", stdin="a\nb\n"), "the current password is wrong")


def test_the_trail_is_shown(antiphon: Antiphon, server: ScriptedAccounts) -> None:
    ana = server.add_user("ana@example.com")
    server.events = [
        auth_pb2.AuditEvent(
            action="user.update",
            actor_id="admin",
            user_id=ana.user_id,
            attributes={"role": "admin", "b": "c"},
        )
    ]
    server.events[0].create_time.FromDatetime(datetime(2026, 11, 21, 2, 25, 15, tzinfo=UTC))
    line = antiphon("users", "audit", "--user", "ana@example.com").stdout.split("\t")
    assert datetime.fromisoformat(line[0]) == datetime(2026, 11, 21, 2, 25, 15, tzinfo=UTC)
    assert line[1:] == ["user.update", "admin", ana.user_id, "", "b=c role=admin\n"]
    assert server.of("ListAuditEvents")[0].request.user_id == ana.user_id  # type: ignore[attr-defined]
    assert len(parsed(antiphon("users", "audit", "--json"))["auditEvents"]) == 1


@pytest.mark.parametrize(
    ("code", "reason", "metadata", "text"),
    [
        ("FAILED_PRECONDITION", "LAST_ADMINISTRATOR", {}, "antiphon users set-role EMAIL admin"),
        ("FAILED_PRECONDITION", "API_KEY_ENDED", {}, "antiphon keys create"),
        ("FAILED_PRECONDITION", "TOO_MANY_API_KEYS", {"maximum": "100"}, "antiphon keys revoke KEY_ID"),
        ("PERMISSION_DENIED", "SCOPE_REQUIRED", {"scope": "admin"}, "--scope admin"),
        ("PERMISSION_DENIED", "ROLE_REQUIRED", {"role": "admin"}, "the role admin"),
        ("RESOURCE_EXHAUSTED", "RATE_LIMITED", {"retry_after": 16.2}, "Try again in 17 s."),
        ("RESOURCE_EXHAUSTED", "LOGIN_DELAYED", {"retry_after": 59.9}, "Try again in 60 s."),
        ("FAILED_PRECONDITION", "LOGIN_DELAYED", {"retry_after": 0.2}, "Try again in 1 s."),
        (
            "NOT_FOUND",
            "NOT_FOUND",
            {"resource": ("auth.user", "0198")},
            "there is no account 0198\n  `antiphon users list`",
        ),
        ("NOT_FOUND", "NOT_FOUND", {"resource": ("chat.pin", "0198")}, "antiphon: no\n"),
        ("UNIMPLEMENTED", "NOT_IMPLEMENTED", {}, "antiphon users disable --server AUTH"),
        (
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            {"violations": [("expire_time", "is past")]},
            "--expires: is past",
        ),
        (
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            {"violations": [("user.username", "is bad")]},
            "--username: is bad",
        ),
        ("UNAUTHENTICATED", "API_KEY_INVALID", {}, "ANTIPHON_TOKEN is not accepted"),
        ("UNAUTHENTICATED", "TOKEN_REVOKED", {}, "unset it and log in"),
    ],
)
def test_refusals_say_what_to_do(
    antiphon: Antiphon,
    server: ScriptedAccounts,
    code: str,
    reason: str,
    metadata: dict[str, Any],
    text: str,
) -> None:
    server.add_user("ana@example.com")
    message = "".join(f"{field}: {wrong}" for field, wrong in metadata.get("violations", ())) or "no"
    server.fail("UpdateUser", failing(grpc.StatusCode[code], reason, message, **metadata))
    refused(antiphon("users", "disable", "ana@example.com"), text)


def test_nothing_of_nobody_is_told_apart_from_nothing_of_somebody(
    antiphon: Antiphon, server: ScriptedAccounts
) -> None:
    ana = server.add_user("ana@example.com")
    for command in ("keys", "logins"):
        nothing = antiphon(command, "list", "--user", ana.user_id)
        assert (nothing.exit_code, nothing.stdout) == (0, "")
        refused(antiphon(command, "list", "--user", UNKNOWN), "was not found")
        # Whoever may see no other accounts named themselves: the list itself was allowed.
        server.fail(
            "GetUser", failing(grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED", "no", role="admin")
        )
        assert antiphon(command, "list", "--user", UNKNOWN).exit_code == 0


def test_what_others_wrote_steers_no_terminal_through_a_pipe(
    antiphon: Antiphon, server: ScriptedAccounts
) -> None:
    server.add_user("ana@example.com").display_name = "An\x1b[2Ja\n\x9b31m\u202eevil"
    assert "\tAn[2Ja 31mevil\t" in antiphon("users", "list").stdout
    assert "name\tAn[2Ja 31mevil\n" in antiphon("users", "show", "ana@example.com").stdout


def test_a_call_that_wants_a_login_names_the_servers_where_there_is_one(
    antiphon: Antiphon, server: ScriptedAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_TOKEN")
    missing = failing(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING", "a credential is needed")
    server.fail("ListSessions", missing, missing)
    assert "antiphon token" not in antiphon("chats", "list").stderr
    with ScriptedAccounts() as auth:
        login = ("login", "ana@example.com", "--password", "correct horse", "--server", auth.address)
        assert antiphon(*login).exit_code == 0
        refused(antiphon("chats", "list"), f"$(antiphon token --server {auth.address})")


def test_a_login_whose_signing_key_was_dropped_goes_on(
    antiphon: Antiphon, server: ScriptedAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_TOKEN")
    assert antiphon("login", "ana@example.com", "--password", "correct horse").exit_code == 0
    invalid = failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", "this token is not accepted")
    server.fail("GetProfile", invalid)
    assert antiphon("whoami").exit_code == 0
    server.fail("GetProfile", invalid)
    server.fail("RefreshToken", invalid)
    refused(antiphon("whoami"), "has ended", "antiphon login")


def test_a_session_that_was_revoked_leads_to_the_login(
    antiphon: Antiphon, server: ScriptedAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_TOKEN")
    assert antiphon("login", "ana@example.com", "--password", "correct horse").exit_code == 0
    revoked = failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED", "this login session was ended")
    server.fail("GetProfile", revoked)
    server.fail("RefreshToken", revoked)
    refused(antiphon("whoami"), "has ended", "antiphon login")


@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if command.name not in ("serve", "doctor")],
    ids=lambda c: " ".join(c.words),
)
def test_every_command_has_help_with_an_example_and_json(command: Any) -> None:
    arguments = [*command.words, "--help"]
    done = CliRunner().invoke(program(arguments), arguments, env={"COLUMNS": "40"}, prog_name="antiphon")
    assert done.exit_code == 0, done.output
    assert "Example" in done.stdout
    assert " ".join(["antiphon", *command.words]) in done.stdout or command.name == "token"
    assert "--json" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 90


def test_the_help_of_a_group_lists_its_commands() -> None:
    for group in {command.group for command in COMMANDS if command.group}:
        done = CliRunner().invoke(program([group, "--help"]), [group, "--help"])
        assert done.exit_code == 0
        assert all(command.name in done.stdout for command in COMMANDS if command.group == group)


def test_spans_of_time_are_read_as_people_write_them() -> None:
    assert duration("1h30m", "--grace") == timedelta(minutes=90)
    assert duration("0", "--grace") == timedelta()
    assert duration("2 W", "--grace") == timedelta(weeks=2)
    assert moment("2031-02-03", "--expires").date() == datetime(2031, 2, 3).date()  # noqa: DTZ001 - a date alone.
    for wrong in ("", "5", "h", "-1h", "1y", "٣d"):
        with pytest.raises(CommandFailed):
            duration(wrong, "--grace")
