"""Whether a server, or one of its services, is ready."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server
from services.cli.output import CommandFailed, print_json, reporting
from services.cli.tls import address_of, failure_of, perhaps_tls

_NAMES = {
    "auth": "antiphon.auth.v1.AuthService",
    "chat": "antiphon.chat.v1.ChatService",
    "image": "antiphon.image.v1.ImageService",
    "speech": "antiphon.speech.v1.SpeechService",
    "analytics": "antiphon.analytics.v1.AnalyticsService",
}


def health(
    service: Annotated[
        str,
        typer.Argument(
            metavar="[SERVICE]",
            help="auth, chat, image, speech, analytics or a full name; `live`: the process; all when left out.",
            show_default=False,
        ),
    ] = "",
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="How long the answer may take.")
    ] = 3.0,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Ask a server whether it is ready, without a login; fails unless it is.

    \b
    Example:
      antiphon health chat
    """
    server = server.strip() or DEFAULT_SERVER
    with reporting(as_json, server):
        status = _status(server, _NAMES.get(service, service), timeout)
        what = service or "the server"
        if status == "UNKNOWN_SERVICE":
            raise CommandFailed(
                f"the server at {server} does not serve {what}",
                f"The services are {', '.join(_NAMES)}; each may be at an address of its own, which --server names.",
                reason=status,
                code="NOT_FOUND",
            )
        if status != "SERVING":
            raise CommandFailed(
                f"{what} at {server} is not ready",
                "The log of the server says why.",
                reason=status,
                code="UNAVAILABLE",
            )
        if as_json:
            print_json({"service": service, "status": status})
        else:
            print(f"{what} is ready")


def _status(server: str, name: str, timeout: float) -> str:
    """What grpc.health.v1 says of it, or UNKNOWN_SERVICE. Raises CommandFailed when nobody answers."""
    # The library's own log lines would stand between ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc
    from grpc_health.v1 import health_pb2

    from antiphon_client import Keepalive

    address = address_of(server)
    credentials, options = address.credentials(), address.channel_options(Keepalive())
    channel = (
        grpc.insecure_channel(address.target, options)
        if credentials is None
        else grpc.secure_channel(address.target, credentials, options)
    )
    with channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=name), timeout=timeout)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return "UNKNOWN_SERVICE"
            details = error.details() or ""
            told = failure_of(details, server) or (
                f"no server answers at {server}",
                "\n".join(filter(None, (f"{error.code().name}: {details}", perhaps_tls(details, server)))),
            )
            raise CommandFailed(*told, reason="UNREACHABLE", code="UNAVAILABLE") from None
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
