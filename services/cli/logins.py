"""Login sessions: list them, end one."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import as_dict, local_time, note, print_json, print_table
from services.cli.people import Whose, find_user_id, nothing_of

Limit = Annotated[int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most, the newest.")]


def list_logins(
    limit: Limit = 100, user: Whose = "", server: Server = DEFAULT_SERVER, as_json: AsJson = False
) -> None:
    """List the login sessions that have not ended, newest first. The one that asks has a star.

    \b
    Example:
      antiphon logins list
    """
    with calling(server, as_json) as client:
        found = client.list_login_sessions(user_id=find_user_id(client, user), page_size=min(limit, 100))
        sessions = list(itertools.islice(found, limit)) or nothing_of(client, user)
        if as_json:
            print_json({"sessions": [as_dict(session) for session in sessions]})
            return
        rows = [
            (
                f"{session.session_id}{' *' if session.current else ''}",
                session.device_name,
                local_time(session.create_time),
                local_time(session.last_use_time),
                local_time(session.expire_time),
            )
            for session in sessions
        ]
        headers = ("LOGIN", "DEVICE", "BEGAN", "LAST USED", "ENDS")
        print_table(headers, rows, "there are no login sessions")


def revoke_login(
    session_id: Annotated[str, typer.Argument(metavar="LOGIN", help="As `antiphon logins list` prints it.")],
    user: Whose = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """End a login session, wherever it is.

    \b
    Example:
      antiphon logins revoke 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
    """
    with calling(server, as_json) as client:
        user_id = find_user_id(client, user)
        own = _session_of(client.access_token())
        client.revoke_login_session(session_id, user_id=user_id)
        if as_json:
            print_json({"sessionId": session_id.lower()})
        else:
            print("revoked")
        if own == session_id.lower():
            note("It was this one. Log in again: antiphon login EMAIL")


def _session_of(token: str) -> str:
    """The login session that an access token is of; empty for API keys. Only to say so: the server alone checks tokens."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["sid"])
    except (IndexError, KeyError, TypeError, ValueError):
        return ""
