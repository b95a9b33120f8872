"""Accounts."""

from __future__ import annotations

import uuid

from antiphon.auth.v1 import auth_pb2

from services.auth.mapping.fields import masked_fields, timestamp
from services.auth.model.accounts import AccountChanges, Role, User
from services.auth.usecases.accounts import NewUser
from services.auth.usecases.register import Registration
from services.kernel.errors import InvalidArgument

_ROLES = {
    Role.USER: auth_pb2.ROLE_USER,
    Role.ADMIN: auth_pb2.ROLE_ADMIN,
    Role.SERVICE: auth_pb2.ROLE_SERVICE,
}
_BY_NUMBER: dict[int, Role] = {number: role for role, number in _ROLES.items()}


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


def new_user_of(request: auth_pb2.CreateUserRequest) -> NewUser:
    """The account that an administrator makes."""
    return NewUser(
        email=request.email,
        password=request.password,
        role=_BY_NUMBER[request.role],
        request_id=request.request_id,
    )


def role_of(number: int) -> Role | None:
    """The role that a list is about; None for all."""
    return _BY_NUMBER.get(number)


def profile_changes(request: auth_pb2.UpdateProfileRequest) -> AccountChanges:
    """What people may change of their own account. Raises InvalidArgument for another field."""
    fields = masked_fields(request.update_mask, ("username", "display_name"))
    return AccountChanges(
        username=request.user.username if "username" in fields else None,
        display_name=request.user.display_name if "display_name" in fields else None,
    )


def account_changes(request: auth_pb2.UpdateUserRequest) -> tuple[str, AccountChanges]:
    """Which account an administrator changes, and how. Raises InvalidArgument for another field, a missing id and a missing role."""
    fields = masked_fields(request.update_mask, ("username", "display_name", "role", "disabled"))
    user = request.user
    try:
        user_id = str(uuid.UUID(user.user_id))
    except ValueError:
        raise InvalidArgument.field("user.user_id", "must be the UUID of an account") from None
    role = _BY_NUMBER.get(user.role)
    if "role" in fields and role is None:
        raise InvalidArgument.field("user.role", "must be ROLE_USER, ROLE_ADMIN or ROLE_SERVICE")
    return user_id, AccountChanges(
        username=user.username if "username" in fields else None,
        display_name=user.display_name if "display_name" in fields else None,
        role=role if "role" in fields else None,
        disabled=user.disabled if "disabled" in fields else None,
    )
