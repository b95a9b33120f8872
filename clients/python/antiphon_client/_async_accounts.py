"""What the asynchronous client does with accounts, login sessions and API keys. `_accounts.py` is its mirror."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from antiphon.auth.v1 import api_key_pb2, auth_pb2

from antiphon_client import _account_calls, _calls
from antiphon_client._async_calling import AsyncCalling
from antiphon_client._retry import Deadline
from antiphon_client._tokens import Tokens


class AsyncAccountVerbs(AsyncCalling):
    """The part of a client that is about who calls. A login session is a device's; a chat session is a conversation."""

    async def register(
        self,
        email: str,
        password: str,
        *,
        username: str | None = None,
        display_name: str | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> auth_pb2.User:
        """Makes an account; logs nobody in."""
        call = _account_calls.register(email, password, username, display_name, request_id)
        return (await self._unary(call, timeout)).user

    async def login(
        self, email: str, password: str, *, device_name: str | None = None, timeout: float | None = None
    ) -> auth_pb2.LoginResponse:
        """Opens a login session, keeps its tokens, and makes the calls that follow with them."""
        request = auth_pb2.LoginRequest(email=email, password=password, device_name=device_name)
        deadline = Deadline(self._timeouts.unary if timeout is None else timeout)
        return await self._transport.login.begin(request, deadline)

    async def refresh(self, *, timeout: float | None = None) -> Tokens:
        """Renews the tokens now. Calls do so by themselves shortly before an access token ends."""
        return await self._transport.login.refresh(self._timeouts.unary if timeout is None else timeout)

    async def logout(self, *, timeout: float | None = None) -> None:
        """Revokes the login session and forgets its tokens; the calls that follow are anonymous."""
        await self._transport.login.end(self._timeouts.unary if timeout is None else timeout)

    async def access_token(self, *, timeout: float | None = None) -> str:
        """The access token that a call would carry now, renewed when that is due; empty for anonymous callers."""
        deadline = Deadline(self._timeouts.unary if timeout is None else timeout)
        return await self._transport.login.token("", deadline)

    async def jwks(self, *, timeout: float | None = None) -> auth_pb2.GetJwksResponse:
        """The public keys that access tokens are signed with."""
        return await self._unary(_calls.call(_account_calls.GET_JWKS, auth_pb2.GetJwksRequest()), timeout)

    # The caller's account

    async def profile(self, *, timeout: float | None = None) -> auth_pb2.User:
        """Who the caller is."""
        call = _calls.call(_account_calls.GET_PROFILE, auth_pb2.GetProfileRequest())
        return (await self._unary(call, timeout)).user

    async def update_profile(
        self,
        *,
        username: str | None = None,
        display_name: str | None = None,
        timeout: float | None = None,
    ) -> auth_pb2.User:
        """Changes what is given of the caller's account; an empty text removes it."""
        return (await self._unary(_account_calls.update_profile(username, display_name), timeout)).user

    async def change_password(
        self, current_password: str, new_password: str, *, timeout: float | None = None
    ) -> None:
        """Sets a new password and revokes the caller's other login sessions; with an API key, all of them.

        Never repeated by itself: after Unreachable or DeadlineExceeded it may have been done.
        """
        await self._unary(_account_calls.change_password(current_password, new_password), timeout)

    async def list_login_sessions(
        self, *, user_id: str = "", page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> AsyncIterator[auth_pb2.Session]:
        """The caller's login sessions that have not ended, newest first; those of `user_id` for administrators.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = auth_pb2.ListSessionsRequest(user_id=user_id, page_size=page_size, skip=skip)
        async for page in self._pages(_account_calls.LIST_LOGIN_SESSIONS, request, timeout):
            for session in page.sessions:
                yield session

    async def revoke_login_session(
        self, session_id: str, *, user_id: str = "", timeout: float | None = None
    ) -> None:
        """Ends a login session of the caller's; one of `user_id`'s for administrators."""
        request = auth_pb2.RevokeSessionRequest(session_id=session_id, user_id=user_id)
        await self._unary(_calls.call(_account_calls.REVOKE_LOGIN_SESSION, request), timeout)

    # API keys

    async def create_api_key(
        self,
        display_name: str,
        scopes: Sequence[str],
        *,
        expire_time: datetime | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> api_key_pb2.CreateApiKeyResponse:
        """Makes a key; `secret`, the whole `ak_…` text, is told this once.

        It is empty when the first answer got lost and the call was repeated: rotate the key then.
        """
        return await self._unary(
            _account_calls.create_api_key(display_name, scopes, expire_time, request_id), timeout
        )

    async def list_api_keys(
        self, *, user_id: str = "", page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> AsyncIterator[api_key_pb2.ApiKey]:
        """The caller's keys, newest first; those of `user_id` for administrators.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = api_key_pb2.ListApiKeysRequest(user_id=user_id, page_size=page_size, skip=skip)
        async for page in self._pages(_account_calls.LIST_API_KEYS, request, timeout):
            for key in page.api_keys:
                yield key

    async def get_api_key(
        self, api_key_id: str, *, user_id: str = "", timeout: float | None = None
    ) -> api_key_pb2.ApiKey:
        """One of the caller's keys, without its secret; one of `user_id`'s for administrators."""
        request = api_key_pb2.GetApiKeyRequest(api_key_id=api_key_id, user_id=user_id)
        return (await self._unary(_calls.call(_account_calls.GET_API_KEY, request), timeout)).api_key

    async def rotate_api_key(
        self,
        api_key_id: str,
        *,
        grace: timedelta | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> api_key_pb2.RotateApiKeyResponse:
        """Gives a key a new secret, told this once; the old one is accepted for `grace`, an hour by default, 30 days at most.

        `secret` is empty when the first answer got lost and the call was repeated: rotate the key again then.
        """
        return await self._unary(_account_calls.rotate_api_key(api_key_id, grace, request_id), timeout)

    async def revoke_api_key(
        self, api_key_id: str, *, user_id: str = "", timeout: float | None = None
    ) -> None:
        """Ends a key of the caller's; one of `user_id`'s for administrators."""
        request = api_key_pb2.RevokeApiKeyRequest(api_key_id=api_key_id, user_id=user_id)
        await self._unary(_calls.call(_account_calls.REVOKE_API_KEY, request), timeout)

    # What administrators do

    async def list_users(
        self,
        *,
        query: str = "",
        role: auth_pb2.Role | None = None,
        page_size: int = 0,
        skip: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[auth_pb2.User]:
        """Accounts, newest first. `query` is part of an e-mail, a username or a display name.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = auth_pb2.ListUsersRequest(query=query, role=role, page_size=page_size, skip=skip)
        async for page in self._pages(_account_calls.LIST_USERS, request, timeout):
            for user in page.users:
                yield user

    async def get_user(self, user_id: str, *, timeout: float | None = None) -> auth_pb2.User:
        """An account."""
        call = _calls.call(_account_calls.GET_USER, auth_pb2.GetUserRequest(user_id=user_id))
        return (await self._unary(call, timeout)).user

    async def create_user(
        self,
        email: str,
        password: str,
        *,
        role: auth_pb2.Role = auth_pb2.ROLE_USER,
        request_id: str = "",
        timeout: float | None = None,
    ) -> auth_pb2.User:
        """Makes an account."""
        return (
            await self._unary(_account_calls.create_user(email, password, role, request_id), timeout)
        ).user

    async def update_user(
        self,
        user_id: str,
        *,
        username: str | None = None,
        display_name: str | None = None,
        role: auth_pb2.Role | None = None,
        disabled: bool | None = None,
        timeout: float | None = None,
    ) -> auth_pb2.User:
        """Changes what is given of an account; an empty text removes it."""
        call = _account_calls.update_user(user_id, username, display_name, role, disabled)
        return (await self._unary(call, timeout)).user

    async def delete_user(self, user_id: str, *, timeout: float | None = None) -> None:
        """Removes an account and what the person made, in every service.

        Raises NotFound for an account that is gone, be it by an earlier try of the same call whose answer got lost.
        """
        call = _calls.call(_account_calls.DELETE_USER, auth_pb2.DeleteUserRequest(user_id=user_id))
        await self._unary(call, timeout)

    async def list_audit_events(
        self, *, user_id: str = "", page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> AsyncIterator[auth_pb2.AuditEvent]:
        """Who did what to which account, newest first; what `user_id` did, and what was done to that account.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = auth_pb2.ListAuditEventsRequest(user_id=user_id, page_size=page_size, skip=skip)
        async for page in self._pages(_account_calls.LIST_AUDIT_EVENTS, request, timeout):
            for event in page.audit_events:
                yield event
