"""AuthService over its use cases: map, call, map."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from services.auth.mapping import accounts, audit, sessions, trust
from services.auth.mapping.fields import origin_of
from services.auth.usecases.accounts import (
    CreateUser,
    DeleteUser,
    GetUser,
    ListUsers,
    UpdateProfile,
    UpdateUser,
)
from services.auth.usecases.audit import ListAuditEvents
from services.auth.usecases.change_password import ChangePassword
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_profile import GetProfile
from services.auth.usecases.login import Login
from services.auth.usecases.login_sessions import ListSessions, RevokeSession
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register
from services.auth.usecases.verify_token import VerifyToken
from services.capabilities.identity.ports import RevocationSource
from services.kernel.request import current


@dataclass(frozen=True, slots=True)
class UseCases:
    """What AuthService can do."""

    register: Register
    login: Login
    refresh_token: RefreshToken
    logout: Logout
    get_profile: GetProfile
    update_profile: UpdateProfile
    change_password: ChangePassword
    list_sessions: ListSessions
    revoke_session: RevokeSession
    get_jwks: GetJwks
    verify_token: VerifyToken
    revocations: RevocationSource
    list_users: ListUsers
    get_user: GetUser
    create_user: CreateUser
    update_user: UpdateUser
    delete_user: DeleteUser
    list_audit_events: ListAuditEvents


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """antiphon.auth.v1.AuthService; the contract says what each RPC does."""

    def __init__(self, use: UseCases) -> None:
        self._use = use

    async def Register(self, request: auth_pb2.RegisterRequest, context: Any) -> auth_pb2.RegisterResponse:
        user = await self._use.register(accounts.registration_of(request), origin_of(current()))
        return auth_pb2.RegisterResponse(user=accounts.user_message(user))

    async def Login(self, request: auth_pb2.LoginRequest, context: Any) -> auth_pb2.LoginResponse:
        pair, user = await self._use.login(
            request.email, request.password, request.device_name, origin_of(current())
        )
        return sessions.login_response(pair, user)

    async def RefreshToken(
        self, request: auth_pb2.RefreshTokenRequest, context: Any
    ) -> auth_pb2.RefreshTokenResponse:
        return sessions.refresh_response(
            await self._use.refresh_token(request.refresh_token, origin_of(current()))
        )

    async def Logout(self, request: auth_pb2.LogoutRequest, context: Any) -> auth_pb2.LogoutResponse:
        await self._use.logout(request.refresh_token, origin_of(current()))
        return auth_pb2.LogoutResponse()

    async def GetProfile(
        self, request: auth_pb2.GetProfileRequest, context: Any
    ) -> auth_pb2.GetProfileResponse:
        user = await self._use.get_profile(current().principal)
        return auth_pb2.GetProfileResponse(user=accounts.user_message(user))

    async def UpdateProfile(
        self, request: auth_pb2.UpdateProfileRequest, context: Any
    ) -> auth_pb2.UpdateProfileResponse:
        call, changes = current(), accounts.profile_changes(request)
        user = await self._use.update_profile(call.principal, changes, origin_of(call))
        return auth_pb2.UpdateProfileResponse(user=accounts.user_message(user))

    async def ChangePassword(
        self, request: auth_pb2.ChangePasswordRequest, context: Any
    ) -> auth_pb2.ChangePasswordResponse:
        call = current()
        await self._use.change_password(
            call.principal, request.current_password, request.new_password, origin_of(call)
        )
        return auth_pb2.ChangePasswordResponse()

    async def ListSessions(
        self, request: auth_pb2.ListSessionsRequest, context: Any
    ) -> auth_pb2.ListSessionsResponse:
        caller = current().principal
        page, following = await self._use.list_sessions(
            caller, request.user_id, request.page_size, request.page_token, request.skip
        )
        found = [sessions.session_message(session, caller.session_id) for session in page.items]
        return auth_pb2.ListSessionsResponse(sessions=found, next_page_token=following)

    async def RevokeSession(
        self, request: auth_pb2.RevokeSessionRequest, context: Any
    ) -> auth_pb2.RevokeSessionResponse:
        call = current()
        await self._use.revoke_session(call.principal, request.session_id, request.user_id, origin_of(call))
        return auth_pb2.RevokeSessionResponse()

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Any) -> auth_pb2.GetJwksResponse:
        return sessions.jwks_response(await self._use.get_jwks())

    async def ListSigningKeys(
        self, request: auth_pb2.ListSigningKeysRequest, context: Any
    ) -> auth_pb2.ListSigningKeysResponse:
        return sessions.signing_keys_response(await self._use.get_jwks())

    async def VerifyToken(
        self, request: auth_pb2.VerifyTokenRequest, context: Any
    ) -> auth_pb2.VerifyTokenResponse:
        return trust.verification_response(await self._use.verify_token(request.token))

    async def WatchRevocations(
        self, request: auth_pb2.WatchRevocationsRequest, context: Any
    ) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        after = int(request.after_revocation_id) if request.after_revocation_id else None
        async with aclosing(self._use.revocations.watch(after)) as items:  # type: ignore[type-var]
            async for item in items:
                yield trust.feed_response(item)

    async def ListUsers(self, request: auth_pb2.ListUsersRequest, context: Any) -> auth_pb2.ListUsersResponse:
        page, following = await self._use.list_users(
            request.query,
            accounts.role_of(request.role),
            request.page_size,
            request.page_token,
            request.skip,
        )
        found = [accounts.user_message(user) for user in page.items]
        return auth_pb2.ListUsersResponse(users=found, next_page_token=following, total_size=page.total_size)

    async def GetUser(self, request: auth_pb2.GetUserRequest, context: Any) -> auth_pb2.GetUserResponse:
        return auth_pb2.GetUserResponse(user=accounts.user_message(await self._use.get_user(request.user_id)))

    async def CreateUser(
        self, request: auth_pb2.CreateUserRequest, context: Any
    ) -> auth_pb2.CreateUserResponse:
        call = current()
        user = await self._use.create_user(call.principal, accounts.new_user_of(request), origin_of(call))
        return auth_pb2.CreateUserResponse(user=accounts.user_message(user))

    async def UpdateUser(
        self, request: auth_pb2.UpdateUserRequest, context: Any
    ) -> auth_pb2.UpdateUserResponse:
        user_id, changes = accounts.account_changes(request)
        user = await self._use.update_user(user_id, changes, origin_of(current()))
        return auth_pb2.UpdateUserResponse(user=accounts.user_message(user))

    async def DeleteUser(
        self, request: auth_pb2.DeleteUserRequest, context: Any
    ) -> auth_pb2.DeleteUserResponse:
        await self._use.delete_user(request.user_id, origin_of(current()))
        return auth_pb2.DeleteUserResponse()

    async def ListAuditEvents(
        self, request: auth_pb2.ListAuditEventsRequest, context: Any
    ) -> auth_pb2.ListAuditEventsResponse:
        page, following = await self._use.list_audit_events(
            request.user_id, request.page_size, request.page_token, request.skip
        )
        found = [audit.audit_event_message(event) for event in page.items]
        return auth_pb2.ListAuditEventsResponse(audit_events=found, next_page_token=following)
