"""The RPCs about accounts, login sessions, the audit trail and API keys as values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from antiphon.auth.v1 import api_key_pb2, auth_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from antiphon_client._calls import Call, call, method_of, new_request_id
from antiphon_client._times import timestamp

_AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
_KEYS = api_key_pb2.DESCRIPTOR.services_by_name["ApiKeyService"]

REGISTER = method_of(_AUTH, "Register", auth_pb2.RegisterRequest, auth_pb2.RegisterResponse)
GET_PROFILE = method_of(_AUTH, "GetProfile", auth_pb2.GetProfileRequest, auth_pb2.GetProfileResponse)
UPDATE_PROFILE = method_of(
    _AUTH, "UpdateProfile", auth_pb2.UpdateProfileRequest, auth_pb2.UpdateProfileResponse
)
CHANGE_PASSWORD = method_of(
    _AUTH, "ChangePassword", auth_pb2.ChangePasswordRequest, auth_pb2.ChangePasswordResponse
)
LIST_LOGIN_SESSIONS = method_of(
    _AUTH, "ListSessions", auth_pb2.ListSessionsRequest, auth_pb2.ListSessionsResponse
)
REVOKE_LOGIN_SESSION = method_of(
    _AUTH, "RevokeSession", auth_pb2.RevokeSessionRequest, auth_pb2.RevokeSessionResponse
)
GET_JWKS = method_of(_AUTH, "GetJwks", auth_pb2.GetJwksRequest, auth_pb2.GetJwksResponse)
LIST_USERS = method_of(_AUTH, "ListUsers", auth_pb2.ListUsersRequest, auth_pb2.ListUsersResponse)
GET_USER = method_of(_AUTH, "GetUser", auth_pb2.GetUserRequest, auth_pb2.GetUserResponse)
CREATE_USER = method_of(_AUTH, "CreateUser", auth_pb2.CreateUserRequest, auth_pb2.CreateUserResponse)
UPDATE_USER = method_of(_AUTH, "UpdateUser", auth_pb2.UpdateUserRequest, auth_pb2.UpdateUserResponse)
DELETE_USER = method_of(_AUTH, "DeleteUser", auth_pb2.DeleteUserRequest, auth_pb2.DeleteUserResponse)
LIST_AUDIT_EVENTS = method_of(
    _AUTH, "ListAuditEvents", auth_pb2.ListAuditEventsRequest, auth_pb2.ListAuditEventsResponse
)
CREATE_API_KEY = method_of(
    _KEYS, "CreateApiKey", api_key_pb2.CreateApiKeyRequest, api_key_pb2.CreateApiKeyResponse
)
LIST_API_KEYS = method_of(
    _KEYS, "ListApiKeys", api_key_pb2.ListApiKeysRequest, api_key_pb2.ListApiKeysResponse
)
GET_API_KEY = method_of(_KEYS, "GetApiKey", api_key_pb2.GetApiKeyRequest, api_key_pb2.GetApiKeyResponse)
ROTATE_API_KEY = method_of(
    _KEYS, "RotateApiKey", api_key_pb2.RotateApiKeyRequest, api_key_pb2.RotateApiKeyResponse
)
REVOKE_API_KEY = method_of(
    _KEYS, "RevokeApiKey", api_key_pb2.RevokeApiKeyRequest, api_key_pb2.RevokeApiKeyResponse
)


def register(
    email: str, password: str, username: str | None, display_name: str | None, request_id: str
) -> Call[auth_pb2.RegisterRequest, auth_pb2.RegisterResponse]:
    """Register, safe to repeat."""
    request_id = request_id or new_request_id()
    request = auth_pb2.RegisterRequest(
        request_id=request_id, email=email, password=password, username=username, display_name=display_name
    )
    return call(REGISTER, request, request_id)


def update_profile(
    username: str | None, display_name: str | None
) -> Call[auth_pb2.UpdateProfileRequest, auth_pb2.UpdateProfileResponse]:
    """UpdateProfile of what is not None."""
    user, mask = _changed("", username, display_name, None, None)
    return call(UPDATE_PROFILE, auth_pb2.UpdateProfileRequest(user=user, update_mask=mask))


def change_password(
    current_password: str, new_password: str
) -> Call[auth_pb2.ChangePasswordRequest, auth_pb2.ChangePasswordResponse]:
    """ChangePassword, sent once."""
    request = auth_pb2.ChangePasswordRequest(current_password=current_password, new_password=new_password)
    return call(CHANGE_PASSWORD, request)


def create_user(
    email: str, password: str, role: auth_pb2.Role, request_id: str
) -> Call[auth_pb2.CreateUserRequest, auth_pb2.CreateUserResponse]:
    """CreateUser, safe to repeat."""
    request_id = request_id or new_request_id()
    request = auth_pb2.CreateUserRequest(request_id=request_id, email=email, password=password, role=role)
    return call(CREATE_USER, request, request_id)


def update_user(
    user_id: str,
    username: str | None,
    display_name: str | None,
    role: auth_pb2.Role | None,
    disabled: bool | None,
) -> Call[auth_pb2.UpdateUserRequest, auth_pb2.UpdateUserResponse]:
    """UpdateUser of what is not None."""
    user, mask = _changed(user_id, username, display_name, role, disabled)
    return call(UPDATE_USER, auth_pb2.UpdateUserRequest(user=user, update_mask=mask))


def create_api_key(
    display_name: str, scopes: Sequence[str], expire_time: datetime | None, request_id: str
) -> Call[api_key_pb2.CreateApiKeyRequest, api_key_pb2.CreateApiKeyResponse]:
    """CreateApiKey, safe to repeat."""
    request_id = request_id or new_request_id()
    request = api_key_pb2.CreateApiKeyRequest(
        request_id=request_id, display_name=display_name, scopes=scopes, expire_time=timestamp(expire_time)
    )
    return call(CREATE_API_KEY, request, request_id)


def rotate_api_key(
    api_key_id: str, grace: timedelta | None, request_id: str
) -> Call[api_key_pb2.RotateApiKeyRequest, api_key_pb2.RotateApiKeyResponse]:
    """RotateApiKey, safe to repeat."""
    request_id = request_id or new_request_id()
    request = api_key_pb2.RotateApiKeyRequest(request_id=request_id, api_key_id=api_key_id)
    if grace is not None:
        duration = Duration()
        duration.FromTimedelta(grace)
        request.grace.CopyFrom(duration)
    return call(ROTATE_API_KEY, request, request_id)


def _changed(
    user_id: str,
    username: str | None,
    display_name: str | None,
    role: auth_pb2.Role | None,
    disabled: bool | None,
) -> tuple[auth_pb2.User, FieldMask]:
    user = auth_pb2.User(
        user_id=user_id, username=username, display_name=display_name, role=role, disabled=disabled
    )
    given = {"username": username, "display_name": display_name, "role": role, "disabled": disabled}
    return user, FieldMask(paths=[name for name, value in given.items() if value is not None])
