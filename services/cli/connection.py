"""How a command reaches the server: its address, and who calls."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.output import CommandFailed, reporting
from services.cli.texts import check_token
from services.cli.tls import address_of

if TYPE_CHECKING:
    from antiphon_client import Client

DEFAULT_SERVER = "127.0.0.1:50051"

Server = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="ADDRESS",
        envvar="ANTIPHON_SERVER",
        help="The server: host:port, http://host:port (plain text) or https://host:port (TLS). "
        "Plain text by default on this machine only.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@contextlib.contextmanager
def calling(server: str, as_json: bool) -> Iterator[Client]:
    """A client of the server, as whoever has logged in there; failures are reported, and end the command.

    ANTIPHON_TOKEN, an access token or an API key, stands in for a login.
    """
    server = server.strip() or DEFAULT_SERVER
    with reporting(as_json, server), connected(server) as client:
        yield client


@contextlib.contextmanager
def connected(server: str) -> Iterator[Client]:
    """A client of the server. Raises CommandFailed when `server` is no address, and for certificates that can't be used."""
    # The library's own log lines would stand between ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from antiphon_client import Client, Retries
    from services.cli.credentials import CredentialsFile

    token = os.environ.get("ANTIPHON_TOKEN", "").strip()
    check_token(token, "ANTIPHON_TOKEN")
    # A person who waits wants to know soon that nobody answers; a stream that has begun is worth more patience.
    retries = Retries(attempts=3)
    address = address_of(server)
    try:
        if token:
            client = Client(server, tls=address.tls, token=token, retries=retries)
        else:
            client = Client(server, tls=address.tls, store=CredentialsFile(address.target), retries=retries)
    except ValueError as error:
        raise CommandFailed(str(error), reason="INVALID_ADDRESS", status=2) from None
    with client:
        yield client
