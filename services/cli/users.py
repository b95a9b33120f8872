"""Accounts as administrators see them: list, show, create, change, delete them, and read the audit trail."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import (
    CommandFailed,
    as_dict,
    exact_time,
    flat,
    local_time,
    print_fields,
    print_json,
    print_table,
)
from services.cli.people import RoleName, Who, find_user, find_user_id, role_name, role_of
from services.cli.prompts import Password, PasswordStdin, ask_password, confirm

if TYPE_CHECKING:
    from antiphon.auth.v1 import auth_pb2

Limit = Annotated[int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most, the newest.")]


def list_users(
    limit: Limit = 100,
    query: Annotated[
        str, typer.Option(metavar="TEXT", help="Part of an e-mail, a username or a name.", show_default=False)
    ] = "",
    role: Annotated[
        RoleName | None,
        typer.Option(metavar="ROLE", help="Those with this role: user, admin, service.", show_default=False),
    ] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List accounts, newest first.

    \b
    Example:
      antiphon users list --query example.com
    """
    with calling(server, as_json) as client:
        found = client.list_users(
            query=query, role=None if role is None else role_of(role), page_size=min(limit, 100)
        )
        users = list(itertools.islice(found, limit))
        if as_json:
            print_json({"users": [as_dict(user) for user in users]})
            return
        rows = [
            (
                user.user_id,
                user.email,
                role_name(user.role),
                "disabled" if user.disabled else "active",
                user.display_name or user.username,
                local_time(user.create_time),
            )
            for user in users
        ]
        print_table(("USER", "E-MAIL", "ROLE", "STATE", "NAME", "MADE"), rows, "there are no such accounts")


def show_user(who: Who, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Show an account.

    \b
    Example:
      antiphon users show ana@example.com
    """
    with calling(server, as_json) as client:
        user = find_user(client, who)
        if as_json:
            print_json(as_dict(user))
            return
        print_fields(
            (
                ("id", user.user_id),
                ("e-mail", user.email),
                ("username", user.username),
                ("name", user.display_name),
                ("role", role_name(user.role)),
                ("state", "disabled" if user.disabled else "active"),
                ("made", local_time(user.create_time)),
                ("changed", local_time(user.update_time)),
            )
        )


def create_user(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="To log in with.", show_default=False)],
    role: Annotated[
        RoleName, typer.Option(metavar="ROLE", help="What the person may do: user, admin, service.")
    ] = RoleName.USER,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Make an account for somebody.

    \b
    Example:
      antiphon users create bo@example.com --role admin
    """
    from antiphon_client.errors import AlreadyExists

    with calling(server, as_json) as client:
        secret = ask_password(password, password_stdin, twice=True)
        try:
            user = client.create_user(email, secret, role=role_of(role))
        except AlreadyExists as error:
            if error.reason != "EMAIL_TAKEN":
                raise
            # What the server advises is for whoever registers.
            raise CommandFailed(
                "an account with this e-mail exists already",
                f"antiphon users show {email}",
                reason=error.reason,
                code=error.code.name,
            ) from None
        _tell(user, f"made {user.email} ({role_name(user.role)})", as_json)


def set_role(
    who: Who,
    role: Annotated[
        RoleName,
        typer.Argument(
            metavar="ROLE", help="What the person may do: user, admin, service.", show_default=False
        ),
    ],
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Change what a person may do. Their access tokens end within seconds; programs renew them by themselves.

    \b
    Example:
      antiphon users set-role ana@example.com admin
    """
    with calling(server, as_json) as client:
        user = client.update_user(find_user(client, who).user_id, role=role_of(role))
        _tell(user, f"{user.email} is now {role_name(user.role)}", as_json)


def disable_user(who: Who, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Lock an account: nobody can log in, and its sessions and keys are refused.

    \b
    Example:
      antiphon users disable ana@example.com
    """
    with calling(server, as_json) as client:
        user = client.update_user(find_user(client, who).user_id, disabled=True)
        _tell(user, f"{user.email} is disabled", as_json)


def enable_user(who: Who, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Unlock an account that was disabled.

    \b
    Example:
      antiphon users enable ana@example.com
    """
    with calling(server, as_json) as client:
        user = client.update_user(find_user(client, who).user_id, disabled=False)
        _tell(user, f"{user.email} is enabled", as_json)


def delete_user(
    who: Who,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Delete an account and everything that the person made, in every service. There is no way back.

    \b
    Example:
      antiphon users delete ana@example.com
    """
    from antiphon_client.errors import NotFound

    with calling(server, as_json) as client:
        user = find_user(client, who)
        confirm(f"Delete {flat(user.email)} ({user.user_id}) and everything that the person made?", yes=yes)
        # It was there just now. If it no longer is, an answer got lost and the call was repeated, or somebody else was quicker.
        with contextlib.suppress(NotFound):
            client.delete_user(user.user_id)
        _tell(user, f"deleted {user.email} ({user.user_id})", as_json)


def audit(
    limit: Limit = 50,
    user: Annotated[
        str,
        typer.Option(
            "--user", metavar="EMAIL_OR_ID", help="What one person did or underwent.", show_default=False
        ),
    ] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Show who did what to which account, newest first.

    \b
    Example:
      antiphon users audit --user ana@example.com --limit 10
    """
    with calling(server, as_json) as client:
        found = client.list_audit_events(user_id=find_user_id(client, user), page_size=min(limit, 100))
        events = list(itertools.islice(found, limit))
        if as_json:
            print_json({"auditEvents": [as_dict(event) for event in events]})
            return
        rows = [
            (
                exact_time(event.create_time),
                event.action,
                event.actor_id,
                event.user_id,
                event.address,
                " ".join(f"{name}={value}" for name, value in sorted(event.attributes.items())),
            )
            for event in events
        ]
        print_table(("TIME", "ACTION", "BY", "ACCOUNT", "FROM", "MORE"), rows, "nothing was done yet")


def _tell(user: auth_pb2.User, text: str, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(user))
    else:
        print(flat(text))
