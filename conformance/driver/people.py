"""The people of a case: registered and logged in by the driver itself, so that a client that can't log in fails the cases about that alone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import grpc
import grpc.aio
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from conformance.driver.certificates import ServerTls
from conformance.driver.failures import DriverFailed
from conformance.driver.suite import Suite

PASSWORD = "correct horse battery staple"
ADMIN = "admin"
_ADMIN_EMAIL = "admin@antiphon.local"
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Person:
    """An account that is logged in."""

    email: str
    password: str
    user_id: str
    token: str
    refresh_token: str

    def values(self) -> Mapping[str, str]:
        """What steps may refer to."""
        return asdict(self)


class People:
    """Makes people at one suite."""

    def __init__(self, suite: Suite, tls: ServerTls | None) -> None:
        self._suite = suite
        self._tls = tls

    async def make(self, name: str) -> Person:
        """A new account of this name, or the administrator, logged in. Raises DriverFailed."""
        async with self._channel() as channel:
            auth = auth_pb2_grpc.AuthServiceStub(channel)
            email, password = _ADMIN_EMAIL, self._suite.admin_password
            try:
                if name != ADMIN:
                    email, password = f"{name}-{secrets.token_hex(6)}@example.com", PASSWORD
                    await auth.Register(
                        auth_pb2.RegisterRequest(email=email, password=password), timeout=_SECONDS
                    )
                told: auth_pb2.LoginResponse = await auth.Login(
                    auth_pb2.LoginRequest(email=email, password=password), timeout=_SECONDS
                )
            except grpc.aio.AioRpcError as error:
                raise DriverFailed(
                    f"{name} could not be made: {error.code().name} {error.details()}"
                ) from error
        return Person(email, password, told.user.user_id, told.access_token, told.refresh_token)

    def _channel(self) -> grpc.aio.Channel:
        address, options = f"127.0.0.1:{self._suite.port}", [("grpc.enable_http_proxy", 0)]
        if self._tls is None:
            return grpc.aio.insecure_channel(address, options)
        credentials = grpc.ssl_channel_credentials(
            self._tls.ca.read_bytes(),
            self._tls.client_key.read_bytes(),
            self._tls.client_certificate.read_bytes(),
        )
        return grpc.aio.secure_channel(address, credentials, options)
