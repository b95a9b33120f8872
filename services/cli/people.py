"""Accounts as a person names them at the command line, and as they are shown there."""

from __future__ import annotations

import contextlib
import itertools
import unicodedata
import uuid
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.output import CommandFailed

if TYPE_CHECKING:
    from antiphon.auth.v1 import auth_pb2

    from antiphon_client import Client

Who = Annotated[
    str, typer.Argument(metavar="EMAIL_OR_ID", help="The account, by e-mail or id.", show_default=False)
]
Whose = Annotated[
    str,
    typer.Option(
        "--user", metavar="EMAIL_OR_ID", help="Another person's (administrators).", show_default=False
    ),
]


class RoleName(StrEnum):
    """A role as it is typed."""

    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"


def role_of(name: RoleName) -> auth_pb2.Role:
    """The role in the contract."""
    from antiphon.auth.v1 import auth_pb2

    roles = {
        RoleName.USER: auth_pb2.ROLE_USER,
        RoleName.ADMIN: auth_pb2.ROLE_ADMIN,
        RoleName.SERVICE: auth_pb2.ROLE_SERVICE,
    }
    return roles[name]


def role_name(role: auth_pb2.Role) -> str:
    """A role as people read it."""
    from antiphon.auth.v1 import auth_pb2

    return auth_pb2.Role.Name(role).removeprefix("ROLE_").lower()


def find_user(client: Client, who: str) -> auth_pb2.User:
    """The account that `who` names, by id or by e-mail, ignoring case. Raises CommandFailed and AntiphonError."""
    if is_id(who):
        return client.get_user(who)
    wanted = _folded(who)
    if "@" not in wanted:
        raise CommandFailed(
            f"{who!r} is neither an e-mail nor the id of an account",
            "`antiphon users list` shows both.",
            status=2,
        )
    for user in client.list_users(query=wanted, page_size=100):
        if _folded(user.email) == wanted:
            return user
    raise CommandFailed(
        f"there is no account with the e-mail {who}",
        f"`antiphon users list --query {wanted.partition('@')[0]}` looks for similar ones.",
        reason="NOT_FOUND",
        code="NOT_FOUND",
    )


def find_user_id(client: Client, who: str) -> str:
    """The id of the account that `who` names; an id is passed on as it is, and nothing stays nothing. Raises CommandFailed and
    AntiphonError."""
    from antiphon_client.errors import PermissionDenied, Unimplemented

    if not who or is_id(who):
        return who
    try:
        return find_user(client, who).user_id
    except PermissionDenied:
        own = _own(client)
        if own is None or _folded(own.email) != _folded(who):
            raise
        return own.user_id
    except Unimplemented as error:
        raise CommandFailed(
            "this server knows nobody by an e-mail: Auth, which does, is at another address",
            "Name the person by id; at the address of Auth `antiphon users list --server AUTH` shows it.",
            reason=error.reason,
            code=error.code.name,
        ) from error


def is_own_id(client: Client, user_id: str) -> bool:
    """Whether this is the id of whoever calls; False as well where that can't be learnt."""
    own = _own(client)
    return own is not None and own.user_id.lower() == user_id.lower()


def _own(client: Client) -> auth_pb2.User | None:
    from antiphon_client.errors import PermissionDenied, Unimplemented

    # Keys that may not read it, and servers without Auth.
    with contextlib.suppress(PermissionDenied, Unimplemented):
        return client.profile()
    return None


def nothing_of(client: Client, who: str) -> list[Any]:
    """The empty list, for an account of which there is nothing. Raises CommandFailed and AntiphonError when it does not exist itself:
    an id is passed on without asking, and one that was mistyped has nothing, too."""
    from antiphon_client.errors import PermissionDenied

    # Somebody who may see what is theirs, and no other accounts, named themselves.
    with contextlib.suppress(PermissionDenied):
        if is_id(who):
            client.get_user(who)
    return []


def emails_of(client: Client, user_ids: Iterable[str], most: int = 20) -> dict[str, str]:
    """The e-mails of the first `most` of these accounts, as far as the caller may see them here."""
    from antiphon_client import AntiphonError
    from antiphon_client.errors import NotFound

    found: dict[str, str] = {}
    for user_id in itertools.islice((each for each in user_ids if each), most):
        try:
            found[user_id] = client.get_user(user_id).email
        except NotFound:
            # Somebody of another issuer, or somebody who is gone.
            continue
        except AntiphonError:
            # Ids say as much. Where one account can't be looked up, the others can't be either.
            break
    return found


def is_id(text: str) -> bool:
    """Whether this is a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _folded(email: str) -> str:
    # As the server compares them. Folding case can undo the normal form; a round or two settles it.
    while True:
        further = unicodedata.normalize("NFKC", email).casefold().strip()
        if further == email:
            return email
        email = further
