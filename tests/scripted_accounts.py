# ruff: noqa: N802 - RPC methods carry the contract's names.
"""A scripted server that also plays accounts, login sessions, API keys and the audit trail, as far as a client can see them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from antiphon.auth.v1 import api_key_pb2, api_key_pb2_grpc, auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2_grpc
from google.protobuf.message import Message

from tests.scripted_server import BROKEN, ScriptedAuth, ScriptedChat, ScriptedServer, failing

Item = TypeVar("Item", bound=Message)


@dataclass
class ScriptedAccounts(ScriptedServer):
    """Has these accounts, login sessions, keys and events, newest first, whoever asks; `me` is who asks, if it matters. Each `request_id` makes one thing. The next
    answer of each method in `loses` gets lost when all is done.
    """

    users: list[auth_pb2.User] = field(default_factory=list)
    logins: list[auth_pb2.Session] = field(default_factory=list)
    keys: list[api_key_pb2.ApiKey] = field(default_factory=list)
    events: list[auth_pb2.AuditEvent] = field(default_factory=list)
    me: auth_pb2.User | None = None
    made: dict[str, Message] = field(default_factory=dict)
    loses: set[str] = field(default_factory=set)

    def add_services(self, server: grpc.Server) -> None:
        """Everything."""
        auth_pb2_grpc.add_AuthServiceServicer_to_server(_Auth(self), server)
        api_key_pb2_grpc.add_ApiKeyServiceServicer_to_server(_Keys(self), server)
        chat_pb2_grpc.add_ChatServiceServicer_to_server(ScriptedChat(self), server)

    def lose(self, method: str, context: grpc.ServicerContext) -> None:
        """Lets the answer of a call get lost, if the script says so."""
        if method in self.loses:
            self.loses.remove(method)
            BROKEN(context)

    def add_user(self, email: str, role: auth_pb2.Role = auth_pb2.ROLE_USER) -> auth_pb2.User:
        """A new account."""
        user = auth_pb2.User(user_id=str(uuid.uuid4()), email=email, role=role)
        user.create_time.GetCurrentTime()
        self.users.insert(0, user)
        return user

    def add_key(self, name: str, *scopes: str) -> api_key_pb2.ApiKey:
        """A new key."""
        key = api_key_pb2.ApiKey(
            api_key_id=str(uuid.uuid4()), display_name=name, public_id="abc", scopes=scopes
        )
        key.create_time.GetCurrentTime()
        self.keys.insert(0, key)
        return key


def page(items: Sequence[Item], request: Any) -> tuple[Sequence[Item], str]:
    """The items that a request asks for, and the token of the page after."""
    begin = int(request.page_token or 0) + request.skip
    end = begin + (request.page_size or 20)
    return items[begin:end], str(end) if end < len(items) else ""


def found(items: Sequence[Item], name: str, wanted: str, context: grpc.ServicerContext) -> Item:
    """The item whose id is `wanted`."""
    for item in items:
        if getattr(item, name) == wanted:
            return item
    failing(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "it was not found")(context)
    raise AssertionError("the call has been aborted")


class _Auth(ScriptedAuth):
    def __init__(self, script: ScriptedAccounts) -> None:
        super().__init__(script)
        self._accounts = script

    def GetProfile(self, request: auth_pb2.GetProfileRequest, context: Any) -> Any:
        if self._accounts.me is None:
            return super().GetProfile(request, context)
        self._accounts.arrived("GetProfile", request, context)
        return auth_pb2.GetProfileResponse(user=self._accounts.me)

    def UpdateProfile(self, request: auth_pb2.UpdateProfileRequest, context: Any) -> Any:
        self._accounts.arrived("UpdateProfile", request, context)
        return auth_pb2.UpdateProfileResponse(user=request.user)

    def ChangePassword(self, request: auth_pb2.ChangePasswordRequest, context: Any) -> Any:
        self._accounts.arrived("ChangePassword", request, context)
        self._accounts.lose("ChangePassword", context)
        return auth_pb2.ChangePasswordResponse()

    def ListSessions(self, request: auth_pb2.ListSessionsRequest, context: Any) -> Any:
        self._accounts.arrived("ListLoginSessions", request, context)
        items, following = page(self._accounts.logins, request)
        return auth_pb2.ListSessionsResponse(sessions=items, next_page_token=following)

    def RevokeSession(self, request: auth_pb2.RevokeSessionRequest, context: Any) -> Any:
        self._accounts.arrived("RevokeSession", request, context)
        found(self._accounts.logins, "session_id", request.session_id, context)
        return auth_pb2.RevokeSessionResponse()

    def ListUsers(self, request: auth_pb2.ListUsersRequest, context: Any) -> Any:
        self._accounts.arrived("ListUsers", request, context)
        matching = [
            user
            for user in self._accounts.users
            if request.query.lower() in user.email.lower() and request.role in (0, user.role)
        ]
        items, following = page(matching, request)
        return auth_pb2.ListUsersResponse(users=items, next_page_token=following, total_size=len(matching))

    def GetUser(self, request: auth_pb2.GetUserRequest, context: Any) -> Any:
        self._accounts.arrived("GetUser", request, context)
        return auth_pb2.GetUserResponse(user=found(self._accounts.users, "user_id", request.user_id, context))

    def CreateUser(self, request: auth_pb2.CreateUserRequest, context: Any) -> Any:
        self._accounts.arrived("CreateUser", request, context)
        if request.request_id not in self._accounts.made:
            self._accounts.made[request.request_id] = self._accounts.add_user(request.email, request.role)
        return auth_pb2.CreateUserResponse(user=self._accounts.made[request.request_id])  # type: ignore[arg-type]

    def UpdateUser(self, request: auth_pb2.UpdateUserRequest, context: Any) -> Any:
        self._accounts.arrived("UpdateUser", request, context)
        user = found(self._accounts.users, "user_id", request.user.user_id, context)
        request.update_mask.MergeMessage(request.user, user)
        return auth_pb2.UpdateUserResponse(user=user)

    def DeleteUser(self, request: auth_pb2.DeleteUserRequest, context: Any) -> Any:
        self._accounts.arrived("DeleteUser", request, context)
        self._accounts.users.remove(found(self._accounts.users, "user_id", request.user_id, context))
        self._accounts.lose("DeleteUser", context)
        return auth_pb2.DeleteUserResponse()

    def ListAuditEvents(self, request: auth_pb2.ListAuditEventsRequest, context: Any) -> Any:
        self._accounts.arrived("ListAuditEvents", request, context)
        items, following = page(self._accounts.events, request)
        return auth_pb2.ListAuditEventsResponse(audit_events=items, next_page_token=following)


class _Keys(api_key_pb2_grpc.ApiKeyServiceServicer):
    def __init__(self, script: ScriptedAccounts) -> None:
        self._script = script

    def CreateApiKey(self, request: api_key_pb2.CreateApiKeyRequest, context: Any) -> Any:
        script = self._script
        script.arrived("CreateApiKey", request, context)
        known = script.made.get(request.request_id)
        if isinstance(known, api_key_pb2.ApiKey):
            return api_key_pb2.CreateApiKeyResponse(api_key=known)
        key = script.made[request.request_id] = script.add_key(request.display_name, *request.scopes)
        if request.HasField("expire_time"):
            key.expire_time.CopyFrom(request.expire_time)
        script.lose("CreateApiKey", context)
        return api_key_pb2.CreateApiKeyResponse(api_key=key, secret=f"ak_{key.public_id}_first")

    def ListApiKeys(self, request: api_key_pb2.ListApiKeysRequest, context: Any) -> Any:
        self._script.arrived("ListApiKeys", request, context)
        items, following = page(self._script.keys, request)
        return api_key_pb2.ListApiKeysResponse(api_keys=items, next_page_token=following)

    def GetApiKey(self, request: api_key_pb2.GetApiKeyRequest, context: Any) -> Any:
        self._script.arrived("GetApiKey", request, context)
        key = found(self._script.keys, "api_key_id", request.api_key_id, context)
        return api_key_pb2.GetApiKeyResponse(api_key=key)

    def RotateApiKey(self, request: api_key_pb2.RotateApiKeyRequest, context: Any) -> Any:
        script = self._script
        script.arrived("RotateApiKey", request, context)
        key = found(script.keys, "api_key_id", request.api_key_id, context)
        response = api_key_pb2.RotateApiKeyResponse(api_key=key)
        grace = request.grace.seconds if request.HasField("grace") else 3600
        response.old_secret_expire_time.FromSeconds(int(time.time()) + grace)
        if request.request_id not in script.made:
            script.made[request.request_id] = key
            script.lose("RotateApiKey", context)
            response.secret = f"ak_{key.public_id}_second"
        return response

    def RevokeApiKey(self, request: api_key_pb2.RevokeApiKeyRequest, context: Any) -> Any:
        self._script.arrived("RevokeApiKey", request, context)
        found(self._script.keys, "api_key_id", request.api_key_id, context).revoke_time.GetCurrentTime()
        return api_key_pb2.RevokeApiKeyResponse()
