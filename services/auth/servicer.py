"""AuthService over its use cases: map, call, map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from services.auth import mapping
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_profile import GetProfile
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register
from services.kernel import request as calls


@dataclass(frozen=True, slots=True)
class UseCases:
    """What AuthService can do."""

    register: Register
    login: Login
    refresh_token: RefreshToken
    logout: Logout
    get_profile: GetProfile
    get_jwks: GetJwks


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """antiphon.auth.v1.AuthService. RPCs that are not here are not built yet, which the runtime tells callers."""

    def __init__(self, usecases: UseCases) -> None:
        self._usecases = usecases

    async def Register(self, request: auth_pb2.RegisterRequest, context: Any) -> auth_pb2.RegisterResponse:
        """See the contract."""
        user = await self._usecases.register(mapping.registration_of(request))
        return auth_pb2.RegisterResponse(user=mapping.user_message(user))

    async def Login(self, request: auth_pb2.LoginRequest, context: Any) -> auth_pb2.LoginResponse:
        """See the contract."""
        pair, user = await self._usecases.login(request.email, request.password, request.device_name)
        return mapping.login_response(pair, user)

    async def RefreshToken(
        self, request: auth_pb2.RefreshTokenRequest, context: Any
    ) -> auth_pb2.RefreshTokenResponse:
        """See the contract."""
        return mapping.refresh_response(await self._usecases.refresh_token(request.refresh_token))

    async def Logout(self, request: auth_pb2.LogoutRequest, context: Any) -> auth_pb2.LogoutResponse:
        """See the contract."""
        await self._usecases.logout(request.refresh_token)
        return auth_pb2.LogoutResponse()

    async def GetProfile(
        self, request: auth_pb2.GetProfileRequest, context: Any
    ) -> auth_pb2.GetProfileResponse:
        """See the contract."""
        user = await self._usecases.get_profile(calls.current().principal)
        return auth_pb2.GetProfileResponse(user=mapping.user_message(user))

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Any) -> auth_pb2.GetJwksResponse:
        """See the contract."""
        return mapping.jwks_response(await self._usecases.get_jwks())
