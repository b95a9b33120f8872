"""API keys over the served suite: how they are made, what they open, and how they end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.chat.v1 import chat_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.logs import Log
from tests.fakes.chat_stage import Stage
from tests.fakes.key_owner import Owner, in_, owner, seconds_of
from tests.fakes.served_suite import Metadata, Served, bearer, failure, served, somebody, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYWHERE_SECONDS = 2.0


@pytest.fixture
def ana(suite: Served) -> Any:
    """Stands in the way of the person of this name who has no account here."""
    raise AssertionError("keys need an account: use `owner`")


def chats(suite: Served, metadata: Metadata) -> Any:
    """A call that needs `chat.read`."""
    return suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=metadata)


async def is_refused(suite: Served, secret: str) -> bool:
    try:
        await chats(suite, bearer(secret))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        return True
    return False


async def refused_soon(suite: Served, secret: str, ends: float = 0.0) -> None:
    """The key is refused within the bound after `ends`, not before it, and for the one reason there is."""

    async def refused() -> bool:
        return await is_refused(suite, secret)

    await until(refused, max(0.0, ends - time.time()) + EVERYWHERE_SECONDS)
    assert time.time() > ends - 0.1
    assert (await failure(chats(suite, bearer(secret)))).what == ("UNAUTHENTICATED", "API_KEY_INVALID")


async def test_a_key_calls_for_its_person_in_both_kinds_of_metadata(suite: Served) -> None:
    person = await owner(suite)
    made = await person.make("chat.read", "chat.write", "profile.read")
    key = made.api_key
    assert made.secret.startswith(f"ak_{key.public_id}_")
    assert (key.user_id, key.display_name) == (person.user_id, "laptop")
    assert list(key.scopes) == ["chat.read", "chat.write", "profile.read"]
    assert abs(seconds_of(key.create_time) - time.time()) < 20
    assert not any(key.HasField(field) for field in ("expire_time", "last_use_time", "revoke_time"))
    for metadata in (bearer(made.secret), (("x-api-key", made.secret),)):
        profile = await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
        assert profile.user.user_id == person.user_id
    request = chat_pb2.CreateSessionRequest(title="made with a key")
    await suite.chat.CreateSession(request, metadata=bearer(made.secret))
    mine = await chats(suite, person.metadata)
    assert [session.title for session in mine.sessions] == ["made with a key"]
    used = await person.get(key)
    assert abs(seconds_of(used.last_use_time) - time.time()) < 20


async def test_a_call_without_the_scope_is_told_which(suite: Served) -> None:
    made = await (await owner(suite)).make("chat.read")
    request = chat_pb2.CreateSessionRequest()
    refused = await failure(suite.chat.CreateSession(request, metadata=bearer(made.secret)))
    assert refused.what == ("PERMISSION_DENIED", "SCOPE_REQUIRED")
    assert refused.metadata == {"scope": "chat.write"}
    assert "chat.write" in refused.text
    listed = suite.api_keys.ListApiKeys(api_key_pb2.ListApiKeysRequest(), metadata=bearer(made.secret))
    assert (await failure(listed)).metadata == {"scope": "keys.read"}


async def test_what_a_key_used_says_with_which_key(suite: Served, model: Stage) -> None:
    person = await owner(suite)
    made = await person.make("chat.write")
    await suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="echo"), metadata=bearer(made.secret))
    (row,) = await suite.rows("select api_key_id from chat.generations where user_id = %s", person.user_id)
    assert row == (made.api_key.api_key_id,)


async def test_keys_are_listed_newest_first_in_pages(suite: Served) -> None:
    person = await owner(suite)
    made = [(await person.make()).api_key for _ in range(3)]
    reader = (await person.make("keys.read")).secret
    await person.revoke(made[1])
    found: list[api_key_pb2.ApiKey] = []
    token = ""
    while True:
        request = api_key_pb2.ListApiKeysRequest(page_size=2, page_token=token)
        page = await suite.api_keys.ListApiKeys(request, metadata=bearer(reader))
        found += page.api_keys
        token = page.next_page_token
        if not token:
            break
    assert [key.api_key_id for key in found[1:]] == [key.api_key_id for key in reversed(made)]
    assert [key.HasField("revoke_time") for key in found] == [False, False, True, False]
    other = await owner(suite)
    first = await suite.api_keys.ListApiKeys(
        api_key_pb2.ListApiKeysRequest(page_size=2), metadata=person.metadata
    )
    foreign = api_key_pb2.ListApiKeysRequest(page_size=2, page_token=first.next_page_token)
    refused = await failure(suite.api_keys.ListApiKeys(foreign, metadata=other.metadata))
    assert refused.what == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_a_key_expires(suite: Served) -> None:
    person = await owner(suite)
    expires = in_(1.5)
    made = await person.make(expire_time=expires)
    assert abs(seconds_of(made.api_key.expire_time) - seconds_of(expires)) < 1e-5
    assert not await is_refused(suite, made.secret)
    await refused_soon(suite, made.secret, seconds_of(expires))
    rotated = person.rotate(made.api_key)
    assert (await failure(rotated)).what == ("FAILED_PRECONDITION", "API_KEY_ENDED")


async def test_a_revoked_key_is_refused(suite: Served) -> None:
    person = await owner(suite)
    made = await person.make()
    assert not await is_refused(suite, made.secret)
    for _ in range(2):
        await person.revoke(made.api_key)
    await refused_soon(suite, made.secret)
    assert (await person.get(made.api_key)).HasField("revoke_time")
    assert (await failure(person.rotate(made.api_key))).what == ("FAILED_PRECONDITION", "API_KEY_ENDED")


async def test_a_rotated_key_is_accepted_in_its_grace_alone(suite: Served) -> None:
    person = await owner(suite)
    made = await person.make()
    assert not await is_refused(suite, made.secret)
    rotated = await person.rotate(made.api_key)
    assert rotated.secret.startswith(f"ak_{made.api_key.public_id}_")
    assert rotated.secret != made.secret
    assert abs(seconds_of(rotated.old_secret_expire_time) - time.time() - 3600) < 20
    assert not await is_refused(suite, made.secret)
    assert not await is_refused(suite, rotated.secret)
    again = await person.rotate(made.api_key, grace=Duration(seconds=1))
    await refused_soon(suite, made.secret)
    assert not await is_refused(suite, again.secret)
    await refused_soon(suite, rotated.secret, seconds_of(again.old_secret_expire_time))
    assert not await is_refused(suite, again.secret)


async def test_without_grace_the_old_secret_is_refused_at_once(suite: Served) -> None:
    person = await owner(suite)
    made = await person.make()
    assert not await is_refused(suite, made.secret)
    rotated = await person.rotate(made.api_key, grace=Duration())
    assert not await is_refused(suite, rotated.secret)
    await refused_soon(suite, made.secret)
    assert not await is_refused(suite, rotated.secret)


async def test_a_key_makes_no_wider_key(suite: Served) -> None:
    person = await owner(suite)
    wide = await person.make("chat.read", "chat.write")
    narrow = bearer((await person.make("keys.write", "chat.read")).secret)
    assert list((await person.make("chat.read", by=narrow)).api_key.scopes) == ["chat.read"]
    request = api_key_pb2.RotateApiKeyRequest(api_key_id=wide.api_key.api_key_id)
    for call in (
        person.make("chat.read", "chat.write", by=narrow),
        suite.api_keys.RotateApiKey(request, metadata=narrow),
    ):
        refused = await failure(call)
        assert refused.what == ("PERMISSION_DENIED", "SCOPE_REQUIRED")
        assert refused.metadata == {"scope": "chat.write"}
    assert (await failure(person.make("admin"))).metadata == {"scope": "admin"}
    unknown = await failure(person.make("image.write", "nonsense"))
    assert (unknown.code, unknown.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("scopes",))
    assert "chat.write" in unknown.text


async def test_an_administrators_key_needs_the_scope_as_well(suite: Served) -> None:
    person, admin = await owner(suite), await suite.administrator()
    theirs = (await person.make()).api_key
    chief = Owner(suite, "", admin)
    plain, full = bearer((await chief.make()).secret), bearer((await chief.make("admin")).secret)
    refused = await failure(suite.auth.ListUsers(auth_pb2.ListUsersRequest(), metadata=plain))
    assert refused.metadata == {"scope": "admin"}
    assert (await suite.auth.ListUsers(auth_pb2.ListUsersRequest(), metadata=full)).users
    request = api_key_pb2.ListApiKeysRequest(user_id=person.user_id)
    listed = await suite.api_keys.ListApiKeys(request, metadata=admin)
    assert [key.api_key_id for key in listed.api_keys] == [theirs.api_key_id]
    assert (
        await failure(suite.api_keys.ListApiKeys(request, metadata=(await owner(suite)).metadata))
    ).what == (
        "PERMISSION_DENIED",
        "ROLE_REQUIRED",
    )
    revoke = api_key_pb2.RevokeApiKeyRequest(api_key_id=theirs.api_key_id, user_id=person.user_id)
    await suite.api_keys.RevokeApiKey(revoke, metadata=admin)
    assert (await person.get(theirs)).HasField("revoke_time")


async def test_a_key_ends_with_its_person(suite: Served) -> None:
    disabled, deleted, admin = await owner(suite), await owner(suite), await suite.administrator()
    keys = [(await person.make()).secret for person in (disabled, deleted)]
    # A key that was refused may be refused for a moment more, so another one shows that the person is back.
    rested = (await disabled.make()).secret
    for secret in keys:
        assert not await is_refused(suite, secret)
    update = auth_pb2.UpdateUserRequest(
        user=auth_pb2.User(user_id=disabled.user_id, disabled=True), update_mask=FieldMask(paths=["disabled"])
    )
    await suite.auth.UpdateUser(update, metadata=admin)
    await suite.auth.DeleteUser(auth_pb2.DeleteUserRequest(user_id=deleted.user_id), metadata=admin)
    for secret in keys:
        await refused_soon(suite, secret)
    update.user.disabled = False
    await suite.auth.UpdateUser(update, metadata=admin)
    assert not await is_refused(suite, rested)


async def test_a_retry_makes_no_second_key_and_shows_no_secret(suite: Served) -> None:
    person = await owner(suite)
    request_id = str(uuid.uuid4())
    both = await asyncio.gather(*(person.make(request_id=request_id) for _ in range(4)))
    assert len({response.api_key.api_key_id for response in both}) == 1
    assert len([response for response in both if response.secret]) == 1
    reused = await failure(person.make("chat.write", request_id=request_id))
    assert reused.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    key, rotation_id = both[0].api_key, str(uuid.uuid4())
    rotated = await person.rotate(key, request_id=rotation_id)
    again = await person.rotate(key, request_id=rotation_id)
    assert (bool(rotated.secret), again.secret) == (True, "")
    assert again.old_secret_expire_time == rotated.old_secret_expire_time
    assert not await is_refused(suite, rotated.secret)


async def test_what_the_contract_forbids_is_refused(suite: Served) -> None:
    person = await owner(suite)
    cases: Sequence[tuple[str, Any]] = (
        ("expire_time", person.make(expire_time=in_(-1))),
        ("expire_time", person.make(expire_time=Timestamp(seconds=10**13))),
        ("scopes", person.make(*(f"chat.{number}" for number in range(33)))),
        ("scopes", person.make("chat.read", "chat.read")),
        ("request_id", person.make(request_id="no UUID")),
        (
            "grace",
            person.rotate(api_key_pb2.ApiKey(api_key_id=str(uuid.uuid4())), grace=Duration(seconds=-1)),
        ),
        (
            "grace",
            person.rotate(
                api_key_pb2.ApiKey(api_key_id=str(uuid.uuid4())), grace=Duration(seconds=31 * 86400)
            ),
        ),
        ("api_key_id", person.get(api_key_pb2.ApiKey(api_key_id="no UUID"))),
    )
    for field, call in cases:
        refused = await failure(call)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, (field, refused)
        assert refused.fields == (field,)
    nameless = api_key_pb2.CreateApiKeyRequest(scopes=["chat.read"])
    refused = await failure(suite.api_keys.CreateApiKey(nameless, metadata=person.metadata))
    assert refused.fields == ("display_name",)


async def test_keys_of_others_and_of_nobody_can_not_be_told_apart(suite: Served) -> None:
    person, other = await owner(suite), await owner(suite)
    theirs = (await other.make()).api_key
    texts = set()
    for key_id in (theirs.api_key_id, str(uuid.uuid4())):
        key = api_key_pb2.ApiKey(api_key_id=key_id)
        for call in (person.get(key), person.rotate(key), person.revoke(key)):
            missing = await failure(call)
            assert (missing.code, missing.resource) == (
                grpc.StatusCode.NOT_FOUND,
                ("auth.api_key", key_id),
            )
            texts.add(missing.text.replace(key_id, "…"))
    assert len(texts) == 1


async def test_people_of_a_foreign_issuer_have_no_keys(suite: Served) -> None:
    stranger = Owner(suite, "", somebody().metadata)
    assert (await failure(stranger.make())).what == ("NOT_FOUND", "NOT_FOUND")


async def test_a_key_is_shown_once_and_kept_nowhere(
    migrated_url: str, module_stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    written = tmp_path / "log"
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        log = Log("DEBUG", pretty=False, stream=descriptor)
        async with served(migrated_url, tmp_path / "suite", module_stage, log) as suite:
            person = await owner(suite)
            made = await person.make("chat.read", request_id=str(uuid.uuid4()))
            rotated = await person.rotate(made.api_key, request_id=str(uuid.uuid4()))
            secrets = [made.secret, rotated.secret]
            for secret in secrets:
                assert not await is_refused(suite, secret)
                assert await is_refused(suite, secret[:-1])
            listed = await suite.api_keys.ListApiKeys(
                api_key_pb2.ListApiKeysRequest(), metadata=person.metadata
            )
            shown = [str(listed), str(await person.get(made.api_key)), str(rotated.api_key)]
            await person.revoke(made.api_key)
            tables = await suite.rows(
                "select format('%%I.%%I', schemaname, tablename) from pg_tables where schemaname in ('auth', 'chat')"
            )
            for (table,) in tables:
                shown += [text for (text,) in await suite.rows(f"select t::text from {table} t")]
    finally:
        os.close(descriptor)
    logged = written.read_text()
    assert "/antiphon.auth.v1.ApiKeyService/CreateApiKey" in logged
    shown += [logged, caplog.text]
    for secret in secrets:
        random_part = secret.rsplit("_", 1)[1]
        for form in (random_part, random_part.encode().hex()):
            assert not [text for text in shown if form in text]
