"""API keys: their text, what they prove, which scopes they may have, and what their use cases decide."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from antiphon.auth.v1 import api_key_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.auth.mapping.api_keys import expiry_of
from services.auth.model.accounts import Role
from services.auth.model.api_keys import KeyMaterial
from services.auth.usecases.api_keys import (
    CreateApiKey,
)
from services.capabilities.identity.errors import ApiKeyInvalid
from services.kernel.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, ServiceError
from services.kernel.ids import new_id
from services.kernel.principal import Kind, Principal
from services.runtime.policy import scopes_of_contract
from tests.fakes.auth_key_desk import CLAIM_KEY, HOUR, MAKER, SCOPES, Desk, origin, with_scopes
from tests.fakes.auth_memory import Memory
from tests.fakes.auth_memory_keys import MemoryApiKeys

KEY = re.compile(r"ak_[a-z2-7]{16}_[A-Za-z0-9]{43}")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def ana(desk: Desk) -> Principal:
    return desk.person()


def test_a_made_key_reads_as_itself() -> None:
    made = [MAKER.make() for _ in range(200)]
    for key in made:
        assert KEY.fullmatch(key.text)
        assert MAKER.read(key.text) == key
        assert key.digest == hashlib.sha256(key.text.encode()).digest()
        assert key.text not in repr(key)
        assert repr(key.digest) not in repr(key)
    assert len({key.public_id for key in made}) == len({key.digest for key in made}) == 200


def test_a_new_secret_keeps_the_public_part() -> None:
    first = MAKER.make()
    second = MAKER.make(first.public_id)
    assert second.public_id == first.public_id
    assert second.digest != first.digest
    assert MAKER.read(second.text) == second


@given(st.text())
def test_what_is_no_key_is_not_read(text: str) -> None:
    read = MAKER.read(text)
    assert read is None or KEY.fullmatch(text)


@given(
    st.integers(0, 62), st.characters() | st.sampled_from("aZ09_-\n"), st.sampled_from(["put", "add", "cut"])
)
def test_a_changed_key_is_another_one_or_none(position: int, character: str, change: str) -> None:
    key = MAKER.make()
    after = position if change == "add" else position + 1
    text = key.text[:position] + ("" if change == "cut" else character) + key.text[after:]
    read = MAKER.read(text)
    if text == key.text:
        assert read == key
    else:
        assert read is None or (read.public_id, read.digest) != (key.public_id, key.digest)
        assert read is None or read.digest != key.digest


@pytest.mark.parametrize(("before", "after"), [("", "\n"), (" ", ""), ("", " "), ("", "A"), ("ak_", "")])
def test_nothing_may_stand_around_a_key(before: str, after: str) -> None:
    assert MAKER.read(before + MAKER.make().text + after) is None


@pytest.mark.parametrize(
    ("role", "kind"), [(Role.USER, Kind.USER), (Role.SERVICE, Kind.USER), (Role.ADMIN, Kind.ADMIN)]
)
async def test_a_key_proves_its_person_and_its_scopes(desk: Desk, role: Role, kind: Kind) -> None:
    caller = desk.person(role)
    key, text = await desk.made(caller, "chat.read", "chat.write")
    assert await desk.own.verify(text) == Principal(
        kind,
        user_id=caller.user_id,
        api_key_id=key.api_key_id,
        scopes=frozenset({"chat.read", "chat.write"}),
    )


async def test_a_key_says_when_it_stops_being_accepted(desk: Desk, ana: Principal) -> None:
    expires = datetime.now(UTC) + 2 * HOUR
    key, old = await desk.made(ana, expires=expires)
    assert (await desk.own.verify(old)).expire_time == expires.timestamp()
    rotated, new = await desk.rotate(ana, key.api_key_id, HOUR, "", origin(ana))
    assert (await desk.own.verify(new)).expire_time == expires.timestamp()
    assert (await desk.own.verify(old)).expire_time == rotated.old_expire_time.timestamp()


async def test_a_key_that_is_not_good_is_refused_without_a_reason(desk: Desk, ana: Principal) -> None:
    key, text = await desk.made(ana)
    stranger = MAKER.make()
    guess = MAKER.make(key.public_id)
    revoked, revoked_text = await desk.made(ana)
    await desk.revoke(ana, revoked.api_key_id, "", origin(ana))
    told = set()
    for shown in ("", "ak_", text[:-1], text.upper(), stranger.text, guess.text, revoked_text):
        with pytest.raises(ApiKeyInvalid) as refused:
            await desk.own.verify(shown)
        told.add((refused.value.message, str(refused.value.metadata)))
    assert len(told) == 1


def test_the_contract_says_which_scopes_there_are() -> None:
    everybody, administrators = scopes_of_contract()
    assert {"chat.read", "chat.write", "keys.read", "keys.write", "profile.read"} <= everybody
    assert administrators == {"admin", "analytics.read"}


async def test_a_scope_that_does_not_exist_is_named_with_those_that_do(desk: Desk, ana: Principal) -> None:
    for scope in ("chat.everything", "", "*", "Chat.Read"):
        with pytest.raises(InvalidArgument) as refused:
            await desk.made(ana, "chat.read", scope)
        (violation,) = refused.value.violations
        assert violation.field == "scopes"
        assert repr(scope) in violation.description
        assert all(known in violation.description for known in ("chat.read", "keys.write", "admin"))


async def test_a_scope_of_administrators_is_theirs_to_give(desk: Desk, ana: Principal) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await desk.made(ana, "admin")
    assert (refused.value.reason, refused.value.metadata) == ("SCOPE_REQUIRED", {"scope": "admin"})
    key, _ = await desk.made(desk.person(Role.ADMIN), "admin", "chat.read")
    assert key.scopes == ("admin", "chat.read")


async def test_a_key_makes_and_rotates_none_that_can_do_more(desk: Desk, ana: Principal) -> None:
    wide, _ = await desk.made(ana, "chat.read", "chat.write")
    narrow = with_scopes(ana, "keys.write", "chat.read")
    made, _ = await desk.made(narrow, "chat.read")
    assert made.scopes == ("chat.read",)
    for call in (
        desk.made(narrow, "chat.read", "chat.write"),
        desk.rotate(narrow, wide.api_key_id, HOUR, "", origin(ana)),
    ):
        with pytest.raises(PermissionDenied) as refused:
            await call
        assert (refused.value.reason, refused.value.metadata) == ("SCOPE_REQUIRED", {"scope": "chat.write"})
    chief = with_scopes(desk.person(Role.ADMIN), "keys.write")
    with pytest.raises(PermissionDenied):
        await desk.made(chief, "admin")


async def test_who_is_no_administrator_any_more_rotates_no_key_of_one(desk: Desk) -> None:
    chief = desk.person(Role.ADMIN)
    key, _ = await desk.made(chief, "admin", "chat.read")
    demoted = dataclasses.replace(chief, kind=Kind.USER)
    with pytest.raises(PermissionDenied) as refused:
        await desk.rotate(demoted, key.api_key_id, HOUR, "", origin(demoted))
    assert refused.value.metadata == {"scope": "admin"}


@pytest.mark.parametrize("seconds", [10**13, 253_402_300_800])
def test_an_expiry_past_all_years_is_refused(seconds: int) -> None:
    request = api_key_pb2.CreateApiKeyRequest(expire_time=Timestamp(seconds=seconds))
    with pytest.raises(InvalidArgument) as refused:
        expiry_of(request)
    assert [violation.field for violation in refused.value.violations] == ["expire_time"]


async def test_a_repeated_call_names_the_key_and_keeps_its_secret(desk: Desk, ana: Principal) -> None:
    request_id = str(uuid.uuid4())
    made, text = await desk.made(ana, "chat.read", "chat.write", request_id=request_id)
    again, nothing = await desk.made(ana, "chat.write", "chat.read", request_id=request_id.upper())
    assert (again, nothing) == (made, "")
    assert await desk.accepted(text)
    others = (
        desk.made(ana, "chat.read", request_id=request_id),
        desk.made(ana, "chat.read", "chat.write", name="desktop", request_id=request_id),
        desk.made(ana, "chat.read", "chat.write", expires=datetime.now(UTC) + HOUR, request_id=request_id),
        desk.rotate(ana, made.api_key_id, HOUR, request_id, origin(ana)),
    )
    for call in others:
        with pytest.raises(AlreadyExists) as refused:
            await call
        assert refused.value.reason == "REQUEST_ID_REUSED"
    ben = desk.person()
    theirs, _ = await desk.made(ben, request_id=request_id)
    assert theirs.user_id == ben.user_id


async def test_a_repeated_rotation_keeps_its_secret(desk: Desk, ana: Principal) -> None:
    key, first = await desk.made(ana)
    request_id = str(uuid.uuid4())
    rotated, second = await desk.rotate(ana, key.api_key_id, None, request_id, origin(ana))
    # Whoever leaves the grace open, and whoever asks for the usual one, asks for the same.
    again, nothing = await desk.rotate(ana, key.api_key_id, HOUR, request_id, origin(ana))
    assert nothing == ""
    assert again.old_expire_time == rotated.old_expire_time
    assert await desk.accepted(first)
    assert await desk.accepted(second)
    with pytest.raises(AlreadyExists):
        await desk.rotate(ana, key.api_key_id, timedelta(), request_id, origin(ana))


async def test_who_has_no_account_here_has_no_keys(desk: Desk) -> None:
    stranger = Principal(Kind.USER, user_id=new_id())
    with pytest.raises(NotFound):
        await desk.made(stranger)
    page, following = await desk.list(stranger, "", 0, "", 0)
    assert (page.items, following) == ([], "")


async def test_keys_of_other_people_are_for_administrators(desk: Desk, ana: Principal) -> None:
    ben, chief = desk.person(), desk.person(Role.ADMIN)
    key, text = await desk.made(ana)
    refused_calls: tuple[Coroutine[Any, Any, object], ...] = (
        desk.list(ben, ana.user_id, 0, "", 0),
        desk.get(ben, key.api_key_id, ana.user_id),
        desk.revoke(ben, key.api_key_id, ana.user_id, origin(ben)),
    )
    for call in refused_calls:
        with pytest.raises(PermissionDenied) as refused:
            await call
        assert refused.value.reason == "ROLE_REQUIRED"
    absent: list[ServiceError] = []
    missing_calls: tuple[Coroutine[Any, Any, object], ...] = (
        desk.get(ben, key.api_key_id, ""),
        desk.get(chief, key.api_key_id, ""),
        desk.revoke(ben, key.api_key_id, "", origin(ben)),
        desk.rotate(ben, key.api_key_id, HOUR, "", origin(ben)),
        desk.rotate(chief, key.api_key_id, HOUR, "", origin(chief)),
    )
    for call in missing_calls:
        with pytest.raises(NotFound) as missing:
            await call
        absent.append(missing.value)
    assert len({error.message for error in absent}) == 1
    assert await desk.accepted(text)
    assert await desk.get(chief, key.api_key_id.upper(), ana.user_id.upper()) is not None
    await desk.revoke(chief, key.api_key_id.upper(), ana.user_id.upper(), origin(chief))
    assert not await desk.accepted(text)
    last = desk.memory.deeds[-1]
    assert (last.action, last.user_id, last.origin.actor_id) == ("key.revoke", ana.user_id, chief.user_id)


async def test_a_page_token_fits_one_list_alone(desk: Desk, ana: Principal) -> None:
    made = [(await desk.made(ana))[0] for _ in range(3)]
    first, following = await desk.list(ana, "", 2, "", 0)
    second, end = await desk.list(ana, "", 2, following, 0)
    assert [key.api_key_id for key in (*first.items, *second.items)] == [
        key.api_key_id for key in reversed(made)
    ]
    assert end == ""
    for caller, token in ((desk.person(), following), (ana, following[:-2]), (ana, "x")):
        with pytest.raises(InvalidArgument) as refused:
            await desk.list(caller, "", 2, token, 0)
        assert refused.value.reason == "INVALID_PAGE_TOKEN"


async def test_a_name_that_can_not_be_kept_is_refused(desk: Desk, ana: Principal) -> None:
    with pytest.raises(InvalidArgument):
        await desk.made(ana, name="a\0b")


def test_what_is_secret_does_not_print() -> None:
    made = KeyMaterial("ak_public_secret", "public", b"digest")
    assert "secret" not in repr(made)
    assert CLAIM_KEY.decode() not in repr(CreateApiKey(MemoryApiKeys(Memory()), MAKER, SCOPES, CLAIM_KEY))
