"""Give a person a new password, on the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.auth.commands import reset_password as reset
from services.auth.usecases.reset_password import NewPassword
from services.cli.connection import AsJson
from services.cli.deployment import deployment
from services.cli.output import CommandFailed, flat, note, print_json, reporting
from services.cli.people import Who, is_id
from services.cli.prompts import line_of_stdin
from services.kernel.errors import NotFound
from services.settings import Settings


def reset_password(
    who: Who,
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin", help="Read the new password from standard input; else one is made up."
        ),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the embedded database is.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a person a new password, on the server. Their login sessions end; a password that is made up is printed once.

    It works on the database itself, that of DATABASE_URL, else the embedded one, whether or not the suite runs.

    \b
    Example:
      antiphon users reset-password admin@antiphon.local
    """
    with reporting(as_json):
        given = line_of_stdin() if password_stdin else None
        settings = Settings.load(overrides={} if data_dir is None else {"ANTIPHON_DATA_DIR": str(data_dir)})
        done = asyncio.run(_reset(settings, who, given))
        email = flat(done.email)
        if as_json:
            told = {"email": done.email, "disabled": done.disabled}
            print_json(told if given is not None else {**told, "password": done.password})
        elif given is not None:
            print(f"{email} has the new password")
        else:
            note(f"{email} has a new password; it is shown this once:")
            print(done.password, flush=True)
        if done.disabled:
            note(f"The account is disabled: nobody can log in until `antiphon users enable {email}`.")
        else:
            note("After failed logins the server's rate limit may delay the next one for up to a minute.")


async def _reset(settings: Settings, who: str, password: str | None) -> NewPassword:
    async with deployment(settings, ["auth"]) as (database, secret):
        try:
            return await reset(database, secret, settings.auth, who, password)
        except NotFound:
            named = "id" if is_id(who) else "e-mail"
            raise CommandFailed(
                f"there is no account with the {named} {who}", reason="NOT_FOUND", code="NOT_FOUND"
            ) from None
