"""Between the messages of antiphon.auth.v1 and Auth's model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from antiphon.auth.v1 import auth_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.auth.model import PublicKey, Role, TokenPair, User
from services.auth.usecases.register import Registration

_ROLES = {
    Role.USER: auth_pb2.ROLE_USER,
    Role.ADMIN: auth_pb2.ROLE_ADMIN,
    Role.SERVICE: auth_pb2.ROLE_SERVICE,
}


def timestamp(time: datetime) -> Timestamp:
    """A point in time as protobuf has it."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def registration_of(request: auth_pb2.RegisterRequest) -> Registration:
    """What somebody registers with."""
    return Registration(
        email=request.email,
        password=request.password,
        username=request.username,
        display_name=request.display_name,
        request_id=request.request_id,
    )


def user_message(user: User) -> auth_pb2.User:
    """An account as its owner sees it."""
    return auth_pb2.User(
        user_id=user.user_id,
        email=user.email,
        username=user.username,
        display_name=user.display_name,
        role=_ROLES[user.role],
        disabled=user.disabled,
        create_time=timestamp(user.create_time),
        update_time=timestamp(user.update_time),
    )


def login_response(pair: TokenPair, user: User) -> auth_pb2.LoginResponse:
    """The tokens of a new login session."""
    return auth_pb2.LoginResponse(
        access_token=pair.access.text,
        refresh_token=pair.refresh_token,
        access_token_expire_time=timestamp(pair.access.expire_time),
        refresh_token_expire_time=timestamp(pair.refresh_expire_time),
        user=user_message(user),
    )


def refresh_response(pair: TokenPair) -> auth_pb2.RefreshTokenResponse:
    """The tokens that take the old ones' place."""
    return auth_pb2.RefreshTokenResponse(
        access_token=pair.access.text,
        refresh_token=pair.refresh_token,
        access_token_expire_time=timestamp(pair.access.expire_time),
        refresh_token_expire_time=timestamp(pair.refresh_expire_time),
    )


def jwks_response(keys: Sequence[PublicKey]) -> auth_pb2.GetJwksResponse:
    """The key set, as messages and as the JSON of RFC 7517 §5."""
    jwks = [key.as_jwk() for key in keys]
    return auth_pb2.GetJwksResponse(
        keys=[auth_pb2.Jwk(**jwk) for jwk in jwks],
        jwks_json=json.dumps({"keys": jwks}, separators=(",", ":")),
    )
