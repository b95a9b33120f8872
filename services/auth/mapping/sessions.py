"""Login sessions, their tokens, and the keys that those are checked with."""

from __future__ import annotations

import json
from collections.abc import Sequence

from antiphon.auth.v1 import auth_pb2

from services.auth.mapping.accounts import user_message
from services.auth.mapping.fields import timestamp
from services.auth.model.accounts import User
from services.auth.model.sessions import LoginSession, TokenPair
from services.auth.model.signing_keys import PublicKey


def session_message(session: LoginSession, current_session_id: str) -> auth_pb2.Session:
    """A login session as its owner sees it, who asks from the session `current_session_id`."""
    return auth_pb2.Session(
        session_id=session.session_id,
        device_name=session.device_name,
        create_time=timestamp(session.create_time),
        last_use_time=timestamp(session.last_use_time),
        expire_time=timestamp(session.expire_time),
        current=session.session_id == current_session_id,
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


def signing_keys_response(keys: Sequence[PublicKey]) -> auth_pb2.ListSigningKeysResponse:
    """The key set as the deployment's services fetch it."""
    return auth_pb2.ListSigningKeysResponse(keys=[auth_pb2.Jwk(**key.as_jwk()) for key in keys])
