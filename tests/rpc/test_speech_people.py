"""Conversions, the people who had them made and the meter: figures by unit, balanced books, and what is left of somebody who is deleted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.auth.v1 import auth_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.analytics_calls import EVERYTHING, amounts, counted
from tests.fakes.served_suite import Person, Served, bearer, failure, until
from tests.fakes.speech_calls import SENTENCES, heard, objects, spoken, stream

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
PASSWORD = "a goat ate my bicycle"
LONG = "This is one of very many sentences, which all sound alike. " * 1500


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return EVERYTHING


async def registered(suite: Served) -> Person:
    """Somebody with an account, logged in."""
    email = f"{uuid.uuid4().hex}@example.com"
    await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    login = await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))
    return Person(login.user.user_id, bearer(login.access_token))


async def deleted(suite: Served, person: Person) -> None:
    request = auth_pb2.DeleteUserRequest(user_id=person.user_id)
    await suite.auth.DeleteUser(request, metadata=await suite.administrator())


async def naming(suite: Served, person: Person) -> list[str]:
    """The tables of Speech that still name somebody."""
    tables = await suite.rows(
        "select tablename from pg_tables where schemaname = 'speech' and tablename <> 'limits'"
    )
    found = []
    for (name,) in tables:
        rows = await suite.rows(
            f"select count(*) from speech.{name} t where strpos(t::text, %s) > 0", person.user_id
        )
        found += [name] if rows[0][0] else []
    return found


async def test_what_was_spoken_is_counted_and_the_books_are_balanced(suite: Served, ana: Person) -> None:
    made = await spoken(suite, ana)
    finished = (await heard(suite, ana)).finished
    found = await counted(suite, ana, 2)
    milliseconds = (made.duration_seconds + finished.conversion.duration_seconds) * 1000
    assert amounts(found.totals) == {
        "characters": len("Hello.") + len(SENTENCES),
        "audio_milliseconds": pytest.approx(milliseconds, abs=10),
    }
    admin = await suite.administrator()

    async def balanced() -> bool:
        response = await suite.analytics.Reconcile(analytics_pb2.ReconcileRequest(), metadata=admin)
        (balance,) = (
            one for one in response.services if one.service_type == usage_pb2.SERVICE_TYPE_TEXT_TO_SPEECH
        )
        return bool(balance.balanced) and balance.service_event_count >= 2

    await until(balanced)


async def test_of_somebody_who_is_deleted_nothing_is_left_but_the_figures(suite: Served, ben: Person) -> None:
    person = await registered(suite)
    theirs = await spoken(suite, person)
    streamed = (await heard(suite, person)).finished.conversion
    others = await spoken(suite, ben)
    ids = {theirs.conversion_id, streamed.conversion_id}
    assert sum(key.split("/")[4] in ids for key in objects(suite)) == 6
    await deleted(suite, person)

    async def gone() -> bool:
        left = [key for key in objects(suite) if key.split("/")[4] in ids]
        return not left and not await naming(suite, person)

    await until(gone, 20)
    used = await suite.rows(
        "select user_id, state, characters from speech.generations where generation_id = any(%s::uuid[])"
        " order by generation_id",
        sorted(ids),
    )
    assert used == [("", "completed", 6), ("", "completed", len(SENTENCES))]
    assert sum(others.conversion_id in key for key in objects(suite)) == 3


async def test_what_is_being_spoken_for_somebody_who_is_deleted_is_called_off(suite: Served) -> None:
    person = await registered(suite)
    call = stream(suite, person, LONG)
    async for event in call:
        if event.HasField("started"):
            conversion_id = event.started.conversion_id
        if event.HasField("audio"):
            break
    await deleted(suite, person)
    ended = await failure(call)
    assert ended.code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAUTHENTICATED)

    async def over() -> bool:
        return not await naming(suite, person)

    await until(over, 20)
    ((user_id, state, characters),) = await suite.rows(
        "select user_id, state, characters from speech.generations where generation_id = %s", conversion_id
    )
    assert (user_id, state) == ("", "cancelled")
    assert 0 < characters < len(LONG)
    assert not [key for key in objects(suite) if conversion_id in key]
