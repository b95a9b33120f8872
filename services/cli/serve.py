"""Run the suite, or some of it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.output import reporting
from services.settings import Settings, environment

if TYPE_CHECKING:
    from services.bootstrap.running import Administrator
    from services.bootstrap.suite import Suite

DEFAULT_ADDRESS = "127.0.0.1:50051"
_ON_CERTIFICATES = (
    "Where a private authority signed the certificate, grpcurl needs -cacert ca.pem, and Antiphon's own command",
    "ANTIPHON_CA=ca.pem. docs/operations.md tells what else there is to TLS.",
    "",
)


def serve(
    service: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="auth, chat, image, speech, analytics; all when left out."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; 127.0.0.1 by default.", show_default=False
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="Port to listen on; 50051 by default, 0 takes a free one.",
            show_default=False,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="What is kept goes there; .antiphon by default.", show_default=False
        ),
    ] = None,
) -> None:
    """Run the suite, or some of its services, until Ctrl-C.

    Settings come from the environment and .env; docs/configuration.md lists them.

    \b
    Example:
      antiphon serve --port 50051
    """
    with reporting(as_json=False):
        options = {
            "ANTIPHON_SERVER__HOST": host,
            "ANTIPHON_SERVER__PORT": None if port is None else str(port),
            "ANTIPHON_DATA_DIR": None if data_dir is None else str(data_dir),
        }
        settings = Settings.load(
            overrides={name: value for name, value in options.items() if value is not None}
        )
        # gRPC's own complaints on standard error are no lines of the log; what matters of them is an error of ours.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import uvloop

        from services.bootstrap.running import run
        from services.runtime.logs import set_up

        log = set_up(settings.log.level, settings.log.format)
        work = run(settings, service or (), log, environment(), announce)
        try:
            uvloop.run(work)
        finally:
            # Where Ctrl-C comes before the loop runs, the work has not begun.
            work.close()


def announce(suite: Suite, administrator: Administrator | None) -> None:
    """Tell on standard output where the suite is, and, on the first start, how to get in."""
    from services.bootstrap.suite import METERED
    from services.capabilities.blobs.wiring import described

    settings = suite.settings
    lines = [
        f"Antiphon is up: {', '.join(suite.services)}.",
        f"  address  {'https://' if suite.server.speaks_tls else ''}{suite.server.address}",
        f"  data     {suite.data}",
        f"  process  {os.getpid()}",
    ]
    if {"image", "speech"}.intersection(suite.services):
        lines.insert(3, f"  objects  {described(settings.blobs, settings.data_dir)}")
    if suite.metrics_port is not None:
        host = settings.metrics.address.rpartition(":")[0]
        lines.append(f"  metrics  http://{host}:{suite.metrics_port}/metrics")
    if not settings.analytics.enabled and METERED.intersection(suite.services):
        lines.append("  usage    not recorded (ENABLE_ANALYTICS=false)")
    if suite.health.broken:
        lines += [
            f"  not ready: {service}, {check}: {why}" for (service, check), why in suite.health.broken.items()
        ]
    if administrator is not None:
        lines += _first_steps(suite, administrator)
    print("\n".join([*lines, ""]), flush=True)


def _first_steps(suite: Suite, administrator: Administrator) -> list[str]:
    address = suite.server.reachable_address
    email, password = administrator.email, administrator.password
    body = f'{{"email": "{email}", "password": "{password}"}}'
    program = _program()
    tls = suite.server.speaks_tls
    where = f"https://{address}" if tls else address
    server = "" if where == DEFAULT_ADDRESS else f" --server {where}"
    plaintext = "" if tls else " -plaintext"
    descriptors = "" if suite.settings.server.reflection else " -protoset build/antiphon.binpb"
    # What the shell itself writes into a pipe is seen in no list of processes.
    login = f"printf '%s\\n' {shlex.quote(password)} | {program} login{server} --password-stdin {shlex.quote(email)}"
    then = f"{program} chat{server} 'Hello'" if "chat" in suite.services else f"{program} whoami{server}"
    return [
        "",
        "An administrator was made. The password is shown once:",
        f"  e-mail   {email}",
        f"  password {password}",
        "",
        "From another terminal, with grpcurl:",
        "",
        f"grpcurl{plaintext}{descriptors} -d {shlex.quote(body)} {address} antiphon.auth.v1.AuthService/Login",
        "",
        "or with Antiphon's own command:",
        "",
        f"{login} && {then}",
        "",
        *(_ON_CERTIFICATES if tls else ()),
    ]


def _program() -> str:
    """How this program is called from another terminal."""
    called = Path(sys.argv[0])
    found = shutil.which("antiphon")
    if found is not None and Path(found).resolve() == called.resolve():
        return "antiphon"
    if called.name == "antiphon" and called.exists():
        return shlex.quote(os.path.abspath(called))
    return f"{shlex.quote(sys.executable)} -m services.cli"
