"""API keys: make, list, rotate, revoke them."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.durations import duration, moment
from services.cli.output import CommandFailed, as_dict, local_time, note, print_json, print_table
from services.cli.people import Whose, find_user_id, nothing_of

if TYPE_CHECKING:
    from antiphon.auth.v1 import api_key_pb2

Key = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `antiphon keys list` prints it.")]


def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="To know the key by.", show_default=False)],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help="What the key may do; may be repeated: chat.read, chat.write, profile.read, profile.write, keys.read, keys.write, "
            "analytics.self, and for administrators analytics.read and admin.",
        ),
    ],
    expires: Annotated[
        str,
        typer.Option(
            metavar="SPAN", help="When it ends: 90d, 12h, 2027-01-31. Never by default.", show_default=False
        ),
    ] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is printed this once, alone on standard output.

    \b
    Example:
      KEY=$(antiphon keys create ci --scope chat.write --expires 90d)
    """
    with calling(server, as_json) as client:
        # `a,b` and `a b` are what people write first.
        scopes = list(dict.fromkeys(word for each in scope for word in each.replace(",", " ").split()))
        made = client.create_api_key(
            name, scopes, expire_time=moment(expires, "--expires") if expires else None
        )
        key = made.api_key
        if not made.secret:
            raise _lost(key)
        if as_json:
            print_json({"apiKey": as_dict(key), "secret": made.secret})
            return
        ends = f", until {local_time(key.expire_time)}" if key.expire_time.seconds else ""
        note(f"key {key.api_key_id} for {', '.join(key.scopes)}{ends}; it is shown this once:")
        print(made.secret, flush=True)


def list_keys(
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most, the newest.")
    ] = 100,
    user: Whose = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List API keys, newest first.

    \b
    Example:
      antiphon keys list
    """
    with calling(server, as_json) as client:
        found = client.list_api_keys(user_id=find_user_id(client, user), page_size=min(limit, 100))
        keys = list(itertools.islice(found, limit)) or nothing_of(client, user)
        if as_json:
            print_json({"apiKeys": [as_dict(key) for key in keys]})
            return
        rows = [
            (
                key.api_key_id,
                key.display_name,
                f"ak_{key.public_id}_…",
                _state(key),
                " ".join(key.scopes),
                local_time(key.last_use_time) or "never",
                local_time(key.expire_time) or "never",
            )
            for key in keys
        ]
        headers = ("ID", "NAME", "KEY", "STATE", "SCOPES", "LAST USED", "ENDS")
        print_table(headers, rows, "there are no API keys")


def rotate_key(
    api_key_id: Key,
    grace: Annotated[
        str,
        typer.Option(
            metavar="SPAN", help="How long the old key is still accepted: 1h by default.", show_default=False
        ),
    ] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Give an API key a new secret. The new key is printed this once, alone on standard output.

    \b
    Example:
      KEY=$(antiphon keys rotate 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11 --grace 10m)
    """
    with calling(server, as_json) as client:
        span = duration(grace, "--grace") if grace else None
        rotated = client.rotate_api_key(api_key_id, grace=span)
        if not rotated.secret:
            raise _lost(rotated.api_key)
        if as_json:
            print_json(as_dict(rotated))
            return
        at_once = span is not None and not span
        until = "from now on" if at_once else f"after {local_time(rotated.old_secret_expire_time)}"
        note(f"the old key is refused {until}; the new one is shown this once:")
        print(rotated.secret, flush=True)


def revoke_key(
    api_key_id: Key, user: Whose = "", server: Server = DEFAULT_SERVER, as_json: AsJson = False
) -> None:
    """End an API key, old secret and new.

    \b
    Example:
      antiphon keys revoke 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
    """
    with calling(server, as_json) as client:
        client.revoke_api_key(api_key_id, user_id=find_user_id(client, user))
        if as_json:
            print_json({"apiKeyId": api_key_id.lower()})
        else:
            print("revoked")


def _lost(key: api_key_pb2.ApiKey) -> CommandFailed:
    return CommandFailed(
        f"the connection broke, and with it the secret of key {key.api_key_id} was lost",
        f"Get a new one: antiphon keys rotate {key.api_key_id} --grace 0",
        reason="SECRET_LOST",
    )


def _state(key: api_key_pb2.ApiKey) -> str:
    if key.revoke_time.seconds:
        return "revoked"
    if key.expire_time.seconds and key.expire_time.seconds <= time.time():
        return "ended"
    return "good"
