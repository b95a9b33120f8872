"""One's own account: register, login, logout, whoami, token, password."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import CommandFailed, as_dict, note, print_json, shown
from services.cli.people import role_name
from services.cli.prompts import (
    Password,
    PasswordStdin,
    ask_email,
    ask_password,
    hidden,
    line_of_stdin,
    new_password,
)

if TYPE_CHECKING:
    from antiphon_client import Client


def register(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="To log in with.", show_default=False)],
    username: Annotated[str | None, typer.Option(metavar="NAME", help="A short name, unique.")] = None,
    display_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="A name for others to see.")
    ] = None,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Make an account.

    \b
    Example:
      antiphon register ana@example.com
    """
    with calling(server, as_json) as client:
        secret = ask_password(password, password_stdin, twice=True)
        user = client.register(email, secret, username=username, display_name=display_name)
        if as_json:
            print_json(as_dict(user))
        else:
            print(
                f"registered {_printable(user.email)}; log in with: antiphon login {_printable(user.email)}"
            )


def login(
    email: Annotated[
        str | None, typer.Argument(metavar="EMAIL", help="Of the account; asked for when left out.")
    ] = None,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Log in. The session is kept for the commands that follow, until `antiphon logout`.

    \b
    Example:
      antiphon login ana@example.com
    """
    with calling(server, as_json) as client:
        _refuse_token()
        address = email or ask_email()
        response = client.login(
            address, ask_password(password, password_stdin), device_name=socket.gethostname()[:128] or None
        )
        if as_json:
            print_json({"user": as_dict(response.user)})
        else:
            print(f"logged in as {_printable(response.user.email or address)}")


def logout(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Log out: revoke the session and forget it.

    \b
    Example:
      antiphon logout
    """
    with calling(server, as_json) as client:
        _refuse_token()
        client.logout()
        if as_json:
            print_json({})
        else:
            print("logged out")


def whoami(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Show who is logged in.

    \b
    Example:
      antiphon whoami
    """
    with calling(server, as_json) as client:
        _access_token(client)
        user = client.profile()
        if as_json:
            print_json(as_dict(user))
            return
        print(f"{_printable(user.email)} ({role_name(user.role)}) {user.user_id}")


def token(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Print an access token, renewed when needed, and nothing else.

    \b
    Example:
      grpcurl -plaintext -H "authorization: Bearer $(antiphon token)" \\
        127.0.0.1:50051 antiphon.auth.v1.AuthService/GetProfile
    """
    with calling(server, as_json) as client:
        access_token = _access_token(client)
        if as_json:
            print_json({"accessToken": access_token})
        else:
            print(access_token)


def password(
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read the current password and the new one from standard input, a line each.",
        ),
    ] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Change your password. Your other login sessions end.

    \b
    Example:
      antiphon password
    """
    from antiphon_client.errors import Unauthenticated

    with calling(server, as_json) as client:
        _access_token(client)
        if password_stdin:
            current, changed = line_of_stdin(), line_of_stdin()
        else:
            current, changed = hidden("Current password: "), new_password("New password: ")
        try:
            client.change_password(current, changed)
        except Unauthenticated as error:
            if error.reason != "INVALID_CREDENTIALS":
                raise
            raise CommandFailed(
                "the current password is wrong", reason=error.reason, code=error.code.name
            ) from None
        if as_json:
            print_json({})
        else:
            print("the password is changed")
            note("Your other login sessions have ended.")


def _refuse_token() -> None:
    if os.environ.get("ANTIPHON_TOKEN", "").strip():
        raise CommandFailed("ANTIPHON_TOKEN is set, and wins over any login session", "Unset it first.")


def _access_token(client: Client) -> str:
    access_token = client.access_token()
    if not access_token:
        raise CommandFailed(
            "nobody is logged in", "Log in first: antiphon login EMAIL", reason="CREDENTIAL_MISSING"
        )
    return access_token


def _printable(text: str) -> str:
    return shown(text, sys.stdout.isatty())
