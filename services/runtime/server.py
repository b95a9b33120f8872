"""The gRPC server: what it is made of, and the order in which it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from services.kernel.authentication import Authenticator
from services.runtime import listening
from services.runtime.adapter import Handlers
from services.runtime.call import Method
from services.runtime.health import Health
from services.runtime.interceptors import in_order
from services.runtime.interceptors.access_log import AccessLog
from services.runtime.interceptors.account_limits import AccountLimits
from services.runtime.interceptors.admission import Admission
from services.runtime.interceptors.authentication import Authentication
from services.runtime.interceptors.decoding import Decoding
from services.runtime.interceptors.errors import Errors
from services.runtime.interceptors.limits import Limits
from services.runtime.interceptors.metering import Metering
from services.runtime.interceptors.metrics import CallMetrics
from services.runtime.interceptors.request_id import RequestId
from services.runtime.interceptors.validation import Validation
from services.runtime.logs import Log
from services.runtime.methods import methods_of
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.reflection import Reflection
from services.settings import ServerSettings

if TYPE_CHECKING:
    from services.runtime.tls import ListenerTls

_log = logging.getLogger(__name__)

# A message a little over the limit still comes in, so that its caller is told so with details.
_SLACK = 12 * 1024**2
# Long enough for calls that were under way to be refused with details rather than by a closed connection.
_LAST_WORDS = 0.5
# When a call that is refused by a server that stops may come again, in seconds: another replica takes it at once, and clients that are
# told to wait for all of the grace period give up instead.
_ELSEWHERE = 1.0


class Server:
    """A port, taken when this is built, so that a taken one is an error before anything slow was started.

    Raises StartupError. Belongs to the event loop that it was built in.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics, log: Log) -> None:
        self._tls = _tls_of(settings)
        if self._tls is None:
            listening.require_allowed(settings.host, allow_plaintext=settings.allow_plaintext)
        if settings.port:
            listening.require_free(settings.host, settings.port)
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._admission = Admission(settings.max_concurrent_calls)
        self._access_log: AccessLog | None = None
        self._started = False
        self._server = grpc.aio.server(options=options(settings))
        address = listening.target(settings.host, settings.port)
        try:
            if self._tls is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, self._tls.credentials())
        except RuntimeError as error:
            raise listening.unusable(settings.host, settings.port, str(error)) from None

    @property
    def address(self) -> str:
        """Where it listens, host:port."""
        return listening.target(self._settings.host, self.port)

    @property
    def reachable_address(self) -> str:
        """Where a client on this machine finds it, also when it listens everywhere. With TLS it is a name that the certificate is for."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104 - nothing is bound here.
        names = () if self._tls is None else [name for name in self._tls.names if "*" not in name]
        if names and host not in names:
            host = names[0]
        return listening.target(host, self.port)

    @property
    def speaks_tls(self) -> bool:
        """Whether callers have to speak TLS."""
        return self._tls is not None

    def reload(self) -> None:
        """Read the files of the certificate again; without TLS there are none."""
        if self._tls is not None:
            self._tls.reload()

    @property
    def calls_in_progress(self) -> int:
        """Calls that the services are working on."""
        return self._admission.in_progress

    @asynccontextmanager
    async def serving(
        self, mounted: Sequence[Mounted], authenticator: Authenticator
    ) -> AsyncIterator[Health]:
        """Serve while the block runs. At its end calls are refused, work in progress is drained, and the port is given back.

        Raises StartupError when an RPC has no policy. Cancelling the end ends what is still running at once.
        """
        health = Health(mounted, self._metrics)
        methods = methods_of(mounted)
        validation = Validation()
        validation.warm(methods)
        internal: list[Method] = health.methods()
        if self._settings.reflection:
            names = [name for service in mounted for name in service.servicers]
            internal += Reflection([*names, health.service]).methods()
        self._access_log = access_log = AccessLog(
            self._log.call_lines("info") if self._log.enabled(logging.INFO) else None,
            self._log.call_lines("debug") if self._log.enabled(logging.DEBUG) else None,
        )
        chain = in_order(
            [
                RequestId(self._settings.trusted_proxies),
                access_log,
                CallMetrics(self._metrics),
                Errors(),
                Metering(),
                self._admission,
                Authentication(authenticator),
                Limits(),
                Decoding(self._settings.max_message_bytes),
                AccountLimits(),
                validation,
            ]
        )
        self._server.add_generic_rpc_handlers((Handlers([*methods, *internal], chain),))
        async with self._metrics.watched_loop(), health.watched():
            await self._server.start()
            self._started = True
            try:
                yield health
            finally:
                await self._stop(mounted, health)

    async def close(self) -> None:
        """Give the port back, whether it was served or not."""
        if not self._started:
            # gRPC keeps the port of a server that it can't stop because it never ran.
            await self._server.start()
        await self._server.stop(None)
        if self._access_log is not None:
            self._access_log.flush()

    async def _stop(self, mounted: Sequence[Mounted], health: Health) -> None:
        grace = self._settings.grace
        ends = time.monotonic() + grace
        try:
            await health.stop()
            self._admission.close(retry_after=_ELSEWHERE)
            results = await asyncio.gather(
                *(_bounded(service, grace) for service in mounted), return_exceptions=True
            )
            for service, result in zip(mounted, results, strict=True):
                if isinstance(result, TimeoutError):
                    _log.error("draining took too long", extra={"service": service.name})
                elif isinstance(result, BaseException):
                    _log.error("draining failed", extra={"service": service.name}, exc_info=result)
            health.release()
            await self._server.stop(max(_LAST_WORDS, ends - time.monotonic()))
        finally:
            # Reached with calls in progress only when the grace period was cut short.
            await self._server.stop(None)


def _tls_of(settings: ServerSettings) -> ListenerTls | None:
    if settings.tls_certificate is settings.tls_key is settings.tls_client_ca is None:
        return None
    # What reads certificates is imported by those who have some.
    from services.runtime.tls import ListenerTls, files_of

    files = files_of(settings)
    return None if files is None else ListenerTls(files)


async def _bounded(service: Mounted, grace: float) -> None:
    # The service keeps to the grace period by itself; the rest is for bringing the remainder to a recorded state.
    async with asyncio.timeout(grace + 5.0):
        await service.drain(grace)


def options(settings: ServerSettings) -> list[tuple[str, int]]:
    """gRPC's options."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes + _SLACK),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
        # Else hundreds of calls that arrive at once are cancelled before anybody looks at them.
        ("grpc.server.max_pending_requests", 20_000),
        ("grpc.server.max_pending_requests_hard_limit", 60_000),
        # A generation may be silent for a while: keep its connection, whoever of the two pings.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.max_pings_without_data", 0),
    ]
