"""What a person does with API keys: CreateApiKey, ListApiKeys, GetApiKey, RotateApiKey, RevokeApiKey."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.auth.model.accounts import storable
from services.auth.model.api_keys import DEFAULT_GRACE, ApiKey, NewApiKey, Rotated
from services.auth.model.audit import Deed, Origin
from services.auth.ports.api_keys import ApiKeys, KeyMaker
from services.capabilities.claims.model import Claim, body_digest
from services.kernel.errors import InvalidArgument, NotFound, PermissionDenied
from services.kernel.ids import new_id
from services.kernel.ownership import whose
from services.kernel.paging import Page, PageTokens
from services.kernel.principal import Principal

_LIST = "auth.api_keys"
_KEYS_WRITE = "keys.write"
_LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of the contract: those that anybody may give a key, and those that only administrators may."""

    everybody: frozenset[str]
    administrators: frozenset[str]

    def check_grant(self, caller: Principal, wanted: Iterable[str]) -> None:
        """Raises InvalidArgument for a scope that does not exist, PermissionDenied (SCOPE_REQUIRED) for one that the caller lacks."""
        wanted = tuple(wanted)
        for scope in wanted:
            if scope not in self.everybody and scope not in self.administrators:
                known = ", ".join(sorted(self.everybody | self.administrators))
                raise InvalidArgument.field("scopes", f"{scope!r} is no scope; there are {known}")
        self.check_held(caller, wanted)

    def check_held(self, caller: Principal, scopes: Iterable[str]) -> None:
        """Raises PermissionDenied (SCOPE_REQUIRED) for a scope that the caller lacks: a key can't make keys that can do more than it
        can itself."""
        for scope in scopes:
            needs_role = scope in self.administrators and not caller.is_admin
            if needs_role or (caller.scopes is not None and scope not in caller.scopes):
                raise _lacks(scope)


@dataclass(frozen=True, slots=True)
class CreateApiKey:
    """Makes a key."""

    keys: ApiKeys
    maker: KeyMaker
    scopes: Scopes
    claim_key: bytes = field(repr=False)

    async def __call__(
        self,
        caller: Principal,
        display_name: str,
        scopes: Iterable[str],
        expire_time: datetime | None,
        request_id: str,
        origin: Origin,
    ) -> tuple[ApiKey, str]:
        """The key and its whole text, which is shown this once: it is empty for the key that the same `request_id` made before.

        One that is made with a key which expires expires no later than that.

        Raises InvalidArgument, PermissionDenied, TooManyApiKeys, AlreadyExists (REQUEST_ID_REUSED), and NotFound for people without an
        account here.
        """
        wanted = tuple(scopes)
        self.scopes.check_grant(caller, wanted)
        made = self.maker.make()
        key = NewApiKey(
            api_key_id=new_id(),
            user_id=caller.user_id,
            display_name=storable("display_name", display_name),
            public_id=made.public_id,
            scopes=wanted,
            digest=made.digest,
            expire_time=expire_time if _ends_by(expire_time, caller) else _end_of(caller),
        )
        expires = expire_time.isoformat() if expire_time else ""
        claim = _claim(self.claim_key, caller, request_id, ["create", display_name, sorted(wanted), expires])
        deed = Deed(
            "key.create", caller.user_id, origin, {"key_id": key.api_key_id, "scopes": " ".join(wanted)}
        )
        stored, is_new = await self.keys.add(key, deed, claim)
        return stored, made.text if is_new else ""


@dataclass(frozen=True, slots=True)
class ListApiKeys:
    """Lists keys."""

    keys: ApiKeys
    tokens: PageTokens

    async def __call__(
        self, caller: Principal, user_id: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[ApiKey], str]:
        """A page of the caller's keys, or of another person's for administrators, and the token of the next one.

        Raises PermissionDenied, and InvalidArgument for a foreign page token.
        """
        owner = whose(caller, user_id)
        request = self.tokens.request(page_size, page_token, skip, _LIST, (owner,))
        page = await self.keys.list(owner, request)
        return page, self.tokens.token(page.after, _LIST, (owner,))


@dataclass(frozen=True, slots=True)
class GetApiKey:
    """Gives one key."""

    keys: ApiKeys

    async def __call__(self, caller: Principal, api_key_id: str, user_id: str) -> ApiKey:
        """The key as it is now, never its secret. Raises PermissionDenied and NotFound."""
        key = await self.keys.get(whose(caller, user_id), api_key_id.lower())
        if key is None:
            raise NotFound.of("auth.api_key", api_key_id)
        return key


@dataclass(frozen=True, slots=True)
class RotateApiKey:
    """Gives a key a new secret."""

    keys: ApiKeys
    maker: KeyMaker
    scopes: Scopes
    claim_key: bytes = field(repr=False)

    async def __call__(
        self, caller: Principal, api_key_id: str, grace: timedelta | None, request_id: str, origin: Origin
    ) -> tuple[Rotated, str]:
        """The key and its whole new text, which is shown this once: it is empty when the call is a repeated one.

        Raises NotFound, PermissionDenied for a key that can do more than the caller or for longer, ApiKeyEnded and AlreadyExists
        (REQUEST_ID_REUSED).
        """
        api_key_id = api_key_id.lower()
        key = await self.keys.get(caller.user_id, api_key_id)
        if key is None:
            raise NotFound.of("auth.api_key", api_key_id)
        self.scopes.check_held(caller, key.scopes)
        if key.api_key_id != caller.api_key_id and not _ends_by(key.expire_time, caller):
            raise _outlives()
        grace = DEFAULT_GRACE if grace is None else grace
        made = self.maker.make(key.public_id)
        claim = _claim(self.claim_key, caller, request_id, ["rotate", api_key_id, str(grace.total_seconds())])
        deed = Deed("key.rotate", caller.user_id, origin, {"key_id": api_key_id})
        rotated = await self.keys.rotate(caller.user_id, api_key_id, made.digest, grace, deed, claim)
        if rotated is None:
            raise NotFound.of("auth.api_key", api_key_id)
        return rotated, "" if rotated.repeated else made.text


@dataclass(frozen=True, slots=True)
class RevokeApiKey:
    """Ends a key."""

    keys: ApiKeys

    async def __call__(self, caller: Principal, api_key_id: str, user_id: str, origin: Origin) -> None:
        """Ends it, also in every other process. Raises PermissionDenied and NotFound."""
        owner, api_key_id = whose(caller, user_id), api_key_id.lower()
        deed = Deed("key.revoke", owner, origin, {"key_id": api_key_id})
        if not await self.keys.revoke(owner, api_key_id, deed):
            raise NotFound.of("auth.api_key", api_key_id)


def _claim(key: bytes, caller: Principal, request_id: str, body: list[object]) -> Claim | None:
    if not request_id:
        return None
    return Claim(f"auth.keys:{caller.user_id}", request_id, body_digest(key, json.dumps(body).encode()))


def _ends_by(expire_time: datetime | None, caller: Principal) -> bool:
    """Whether a key that ends then outlives the key that its maker calls with in nothing; a login session is no measure."""
    if not caller.api_key_id or not caller.expire_time:
        return True
    return expire_time is not None and expire_time.timestamp() <= caller.expire_time


def _end_of(caller: Principal) -> datetime:
    # The last microseconds of the year 9999 are the year 10000 in seconds of floating point.
    return datetime.fromtimestamp(min(caller.expire_time, _LAST_SECOND), UTC)


def _outlives() -> PermissionDenied:
    return PermissionDenied(
        "A key that expires can't give a new secret to one that lives longer; log in, or use a key that lives as long.",
        reason="SCOPE_REQUIRED",
        metadata={"scope": _KEYS_WRITE},
    )


def _lacks(scope: str) -> PermissionDenied:
    return PermissionDenied(
        f"The caller lacks the scope {scope}, and can't give it to a key.",
        reason="SCOPE_REQUIRED",
        metadata={"scope": scope},
    )
