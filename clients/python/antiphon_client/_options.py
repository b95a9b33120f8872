"""What a client can be told at its making."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

import grpc


@dataclass(frozen=True, slots=True)
class TLS:
    """How the connection is protected.

    `roots` are the certificates (PEM) of the authorities to trust, by default the public ones that gRPC knows. `certificate` and `key` (PEM)
    present the caller for mutual TLS. `server_name` is what the server's certificate is checked for when that is not the
    address's host.
    """

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("mutual TLS needs both a certificate and its key")


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call that may safely be repeated is tried, and how long the pauses are, in seconds.

    `attempts` counts the tries of a call, and of a stream until its first event; `resume_attempts` those of a stream since its
    last event: by default they last for about a minute, longer than a server takes to be started again. A pause begins with
    `first_delay`, doubles up to `max_delay`, and loses up to half of itself by chance. A server that asks for a longer pause
    than `max_delay` is not waited for.
    """

    attempts: int = 5
    resume_attempts: int = 24
    first_delay: float = 0.1
    max_delay: float = 5.0

    def __post_init__(self) -> None:
        if (
            self.attempts < 1
            or self.resume_attempts < 1
            or self.first_delay < 0
            or self.max_delay < self.first_delay
        ):
            raise ValueError("retries need at least one attempt, and delays that grow from 0 or more")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long calls may take, tries and pauses included, in seconds; None for no limit.

    `answer` is for Chat, which waits for a whole answer; `stream` for an answer that streams; `unary` for everything else.
    """

    unary: float | None = 30.0
    answer: float | None = 600.0
    stream: float | None = None


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How the connection is kept through long silences: a ping every `interval` seconds, dead when unanswered for `timeout`."""

    interval: float = 30.0
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, as gRPC names it, and how the connection to it is protected (None: plain text)."""

    target: str
    tls: TLS | None
    loopback: bool

    @classmethod
    def of(cls, server: str, tls: TLS | bool | None = None) -> Address:
        """Reads `host:port`, `http://host:port`, `https://host:port` or `unix:/path`.

        Without a scheme and without `tls`, loopback addresses are spoken to in plain text and all others over TLS, so that no
        token ever travels in the open unless that was asked for by name. Raises ValueError for what is no address.
        """
        scheme, separator, rest = server.strip().partition("://")
        if not separator:
            scheme, rest = "", server.strip()
        if scheme not in ("", "http", "https"):
            raise ValueError(
                f"{server!r}: write host:port, http://host:port (plain text) or https://host:port (TLS)"
            )
        rest = rest.rstrip("/")
        if not scheme and rest.startswith("unix:") and len(rest) > len("unix:"):
            return cls(rest, _tls(tls, default=False), loopback=True)
        host, port = _host_and_port(rest, server, {"http": 80, "https": 443}.get(scheme))
        loopback = _is_loopback(host)
        default = scheme == "https" if scheme else not loopback
        if scheme == "http" and tls:
            raise ValueError(f"{server!r} means plain text, yet TLS was asked for")
        if scheme == "https" and tls is False:
            raise ValueError(f"{server!r} means TLS, yet plain text was asked for")
        return cls(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}", _tls(tls, default=default), loopback
        )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """The channel's credentials; None for plain text."""
        if self.tls is None:
            return None
        return grpc.ssl_channel_credentials(self.tls.roots, self.tls.key, self.tls.certificate)

    def channel_options(self, keepalive: Keepalive) -> list[tuple[str, str | int]]:
        """Options of the channel: keepalive, quick reconnection, and no second retry loop below ours."""
        options: list[tuple[str, str | int]] = [
            ("grpc.primary_user_agent", "antiphon-python"),
            ("grpc.keepalive_time_ms", int(keepalive.interval * 1000)),
            ("grpc.keepalive_timeout_ms", int(keepalive.timeout * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.max_receive_message_length", 64 * 1024 * 1024),
            ("grpc.service_config_disable_resolution", 1),
            # Clients of one process neither share connections nor wait for one another's reconnection.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self.loopback:
            # A proxy that the environment names can't know what listens on this machine.
            options.append(("grpc.enable_http_proxy", 0))
        if self.tls is not None and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def _tls(tls: TLS | bool | None, *, default: bool) -> TLS | None:
    if isinstance(tls, TLS):
        return tls
    return TLS() if (default if tls is None else tls) else None


def _host_and_port(text: str, server: str, default_port: int | None) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        port = port.removeprefix(":") if bracket else "-"
    elif text.count(":") > 1:
        raise ValueError(f"{server!r}: write an IPv6 address in brackets, such as [::1]:50051")
    else:
        host, _, port = text.partition(":")
    if not port and default_port is not None:
        port = str(default_port)
    if not host or any(c.isspace() or c in "/@?#" for c in host) or not (port.isascii() and port.isdigit()):
        raise ValueError(f"{server!r} is no address: write host:port, such as 127.0.0.1:50051")
    if not 0 < int(port) < 65536:
        raise ValueError(f"{server!r}: a port is between 1 and 65535")
    return host, int(port)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
