"""Whether an address may and can be listened on, told before anything slow is started."""

from __future__ import annotations

import ipaddress
import socket

from services.kernel.startup import StartupError


def target(host: str, port: int) -> str:
    """`host:port`, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_allowed(host: str, *, allow_plaintext: bool) -> None:
    """Raises StartupError for plain text on an address that other machines can reach, unless that is allowed."""
    if not is_loopback(host) and not allow_plaintext:
        raise StartupError(
            f"Passwords and answers would travel to {host} in plain text, for everyone on the way to read.",
            "Set ANTIPHON_SERVER__TLS_CERTIFICATE and ANTIPHON_SERVER__TLS_KEY, or listen on 127.0.0.1, or, in a network that is "
            "private, set ANTIPHON_SERVER__ALLOW_PLAINTEXT=true.",
        )


def require_free(host: str, port: int) -> None:
    """Raises StartupError when the address can't be listened on. gRPC itself would say why only on standard error."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartupError(
            f"{host} is no address of this machine: {error.strerror or error}.",
            "Set --host, or ANTIPHON_SERVER__HOST, to one; 127.0.0.1 is for this machine alone.",
        ) from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise unusable(host, port, error.strerror or str(error)) from None


def unusable(host: str, port: int, why: str) -> StartupError:
    """The error for an address that can't be listened on, with the process that has it if that can be told."""
    owner = owner_of(port)
    by = f" by {owner}" if owner else ""
    if "in use" in why.lower():
        return StartupError(
            f"The address {target(host, port)} is in use{by}.",
            "Stop that process, or take another port with --port (ANTIPHON_SERVER__PORT).",
        )
    return StartupError(
        f"The server can't listen on {target(host, port)}: {why}.",
        "Set another address with --host and --port (ANTIPHON_SERVER__HOST, ANTIPHON_SERVER__PORT).",
    )


def owner_of(port: int) -> str:
    """The process that listens on a port, as `name (pid 1234)`; empty when it can't be told."""
    import psutil

    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
                continue
            if connection.laddr[1] == port:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
