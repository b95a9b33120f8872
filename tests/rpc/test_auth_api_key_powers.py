"""What an API key can't do over the served suite: act on others without the scope, outlive itself, come back, or be one too many."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.chat.v1 import chat_pb2
from google.protobuf.duration_pb2 import Duration

from tests.fakes.key_owner import Owner, in_, owner, seconds_of
from tests.fakes.served_suite import Metadata, Served, bearer, failure, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

LACKS_ADMIN = ("PERMISSION_DENIED", "SCOPE_REQUIRED", {"scope": "admin"})


def profile(suite: Served, metadata: Metadata) -> Any:
    """A call that needs `profile.read`."""
    return suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)


async def refused(call: Any) -> tuple[str, str, dict[str, str]]:
    found = await failure(call)
    return (*found.what, dict(found.metadata))


async def test_an_administrators_key_acts_on_other_people_with_the_scope_admin_alone(suite: Served) -> None:
    person, admin = await owner(suite), await suite.administrator()
    chief, key = Owner(suite, "", admin), (await person.make()).api_key
    await suite.chat.CreateSession(chat_pb2.CreateSessionRequest(title="theirs"), metadata=person.metadata)
    logins = await suite.auth.ListSessions(auth_pb2.ListSessionsRequest(), metadata=person.metadata)
    login = logins.sessions[0].session_id
    them, keys, auth = person.user_id, suite.api_keys, suite.auth
    calls: tuple[tuple[str, Callable[[Metadata], Any]], ...] = (
        (
            "profile.read",
            lambda by: auth.ListSessions(auth_pb2.ListSessionsRequest(user_id=them), metadata=by),
        ),
        (
            "keys.read",
            lambda by: keys.ListApiKeys(api_key_pb2.ListApiKeysRequest(user_id=them), metadata=by),
        ),
        (
            "keys.read",
            lambda by: keys.GetApiKey(
                api_key_pb2.GetApiKeyRequest(api_key_id=key.api_key_id, user_id=them), metadata=by
            ),
        ),
        (
            "chat.read",
            lambda by: suite.chat.ListSessions(chat_pb2.ListSessionsRequest(user_id=them), metadata=by),
        ),
        (
            "keys.write",
            lambda by: keys.RevokeApiKey(
                api_key_pb2.RevokeApiKeyRequest(api_key_id=key.api_key_id, user_id=them), metadata=by
            ),
        ),
        (
            "profile.write",
            lambda by: auth.RevokeSession(
                auth_pb2.RevokeSessionRequest(session_id=login, user_id=them), metadata=by
            ),
        ),
    )
    scopes = sorted({scope for scope, _ in calls})
    plain, only = bearer((await chief.make(*scopes)).secret), bearer((await chief.make("admin")).secret)
    for scope, call in calls:
        assert await refused(call(plain)) == LACKS_ADMIN
        assert await refused(call(only)) == ("PERMISSION_DENIED", "SCOPE_REQUIRED", {"scope": scope})
    # Nothing was done; and what is the administrator's own takes no more than the scope of the call.
    assert not (await person.get(key)).HasField("revoke_time")
    await profile(suite, person.metadata)
    await keys.ListApiKeys(api_key_pb2.ListApiKeysRequest(), metadata=plain)
    full = bearer((await chief.make("admin", *scopes)).secret)
    answers = [await call(full) for _, call in calls]
    assert [session.session_id for session in answers[0].sessions] == [login]
    assert [each.api_key_id for each in answers[1].api_keys] == [key.api_key_id]
    assert [session.title for session in answers[3].sessions] == ["theirs"]
    ended = (
        await keys.GetApiKey(
            api_key_pb2.GetApiKeyRequest(api_key_id=key.api_key_id, user_id=them), metadata=full
        )
    ).api_key
    assert ended.HasField("revoke_time")

    async def login_has_ended() -> bool:
        try:
            await profile(suite, person.metadata)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False

    await until(login_has_ended)


async def test_what_a_key_makes_ends_with_it(suite: Served) -> None:
    person = await owner(suite)
    lasting = await person.make("profile.read")
    expires = in_(1.5)
    short = await person.make("keys.write", "profile.read", expire_time=expires)
    by = bearer(short.secret)
    made = [
        await person.make("profile.read", by=by),
        await person.make("profile.read", by=by, expire_time=in_(3600)),
    ]
    for child in made:
        assert abs(seconds_of(child.api_key.expire_time) - seconds_of(expires)) < 1e-5
        await profile(suite, bearer(child.secret))
    request = api_key_pb2.RotateApiKeyRequest(api_key_id=lasting.api_key.api_key_id)
    assert await refused(suite.api_keys.RotateApiKey(request, metadata=by)) == (
        "PERMISSION_DENIED",
        "SCOPE_REQUIRED",
        {"scope": "keys.write"},
    )

    async def all_have_ended() -> bool:
        for child in made:
            try:
                await profile(suite, bearer(child.secret))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
            else:
                return False
        return True

    await until(all_have_ended, max(0.0, seconds_of(expires) - time.time()) + 2.0)
    await profile(suite, bearer(lasting.secret))


async def test_a_secret_that_was_rotated_away_does_not_take_the_key_back(suite: Served) -> None:
    person = await owner(suite)
    key = await person.make("keys.write", "keys.read", "profile.read")
    old = bearer(key.secret)
    await suite.api_keys.ListApiKeys(api_key_pb2.ListApiKeysRequest(), metadata=old)
    new = bearer((await person.rotate(key.api_key)).secret)
    nothing = api_key_pb2.RevokeApiKeyRequest(api_key_id=str(uuid.uuid4()))

    async def is_known_to_be_old() -> bool:
        found = await failure(suite.api_keys.RevokeApiKey(nothing, metadata=old))
        return found.code is grpc.StatusCode.PERMISSION_DENIED

    await until(is_known_to_be_old, 2.0)
    rotate = api_key_pb2.RotateApiKeyRequest(api_key_id=key.api_key.api_key_id, grace=Duration())
    revoke = api_key_pb2.RevokeApiKeyRequest(api_key_id=key.api_key.api_key_id)
    for call in (
        suite.api_keys.RotateApiKey(rotate, metadata=old),
        person.make("profile.read", by=old),
        suite.api_keys.RevokeApiKey(revoke, metadata=old),
    ):
        assert await refused(call) == ("PERMISSION_DENIED", "SCOPE_REQUIRED", {"scope": "keys.write"})
    for metadata in (old, new):
        await profile(suite, metadata)
        await suite.api_keys.ListApiKeys(api_key_pb2.ListApiKeysRequest(), metadata=metadata)
    rotated = await suite.api_keys.RotateApiKey(rotate, metadata=new)
    await profile(suite, bearer(rotated.secret))


async def test_a_person_with_a_hundred_keys_is_told_to_revoke_one(suite: Served) -> None:
    person = await owner(suite)
    first = await person.make()
    await suite.rows(
        "insert into auth.api_keys (id, user_id, public_id, display_name, scopes, secret)"
        " select gen_random_uuid(), %s, gen_random_uuid()::text, 'one of many', '{chat.read}', sha256(n::text::bytea)"
        " from generate_series(1, 99) n returning id",
        person.user_id,
    )
    request_id = str(uuid.uuid4())
    found = await failure(person.make(request_id=request_id))
    assert found.what == ("FAILED_PRECONDITION", "TOO_MANY_API_KEYS")
    assert found.metadata == {"maximum": "100"}
    await person.revoke(first.api_key)
    assert (await person.make(request_id=request_id)).secret
