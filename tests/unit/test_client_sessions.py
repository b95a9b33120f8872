"""Chat sessions, their messages and tokens, as both faces of the client call them; and what a stream tells of its reconnections."""

from collections.abc import Iterator

import pytest
from antiphon.chat.v1 import chat_pb2

from antiphon_client import AsyncClient, Client, Reconnect, Retries, _calls, _session_calls
from antiphon_client._calls import Method
from antiphon_client.errors import NotFound, Unreachable
from tests.scripted_server import BROKEN
from tests.scripted_sessions import ASSISTANT, USER, ScriptedSessions

QUICK = Retries(first_delay=0.001, max_delay=0.05)


@pytest.fixture
def server() -> Iterator[ScriptedSessions]:
    with ScriptedSessions() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedSessions) -> Iterator[Client]:
    with Client(server.address, token="ak_1_secret", retries=QUICK) as made:
        yield made


def test_an_update_names_what_was_given_and_nothing_else(client: Client, server: ScriptedSessions) -> None:
    session = server.open(title="Old", project="sky", model="echo")
    changed = client.update_session(session.session_id, title="New", archived=True, model="")
    request = server.of("UpdateSession")[0].request
    assert isinstance(request, chat_pb2.UpdateSessionRequest)
    assert set(request.update_mask.paths) == {"title", "model", "archived"}
    assert (changed.title, changed.project, changed.model, changed.archived) == ("New", "sky", "", True)
    client.update_session(session.session_id, system_prompt="Be kind.", project="")
    assert (session.system_prompt, session.project, session.title) == ("Be kind.", "", "New")


def test_forks_and_messages_are_made_once_however_often_they_are_asked_for(
    client: Client, server: ScriptedSessions
) -> None:
    session = server.open(title="Sky")
    first = client.create_message(session.session_id, "Why is it blue?")
    assert (first.role, first.parts[0].text) == (USER, "Why is it blue?")
    server.fail("CreateMessage", BROKEN)
    said = chat_pb2.Message(role=ASSISTANT, parts=[chat_pb2.Part(text="Because.")])
    client.create_message(session.session_id, said)
    assert server.texts(session.session_id) == ["Why is it blue?", "Because."]
    server.fail("ForkSession", BROKEN)
    fork = client.fork_session(session.session_id, first.message_id, title="Dusk")
    assert (fork.title, fork.forked_from_session_id) == ("Dusk", session.session_id)
    assert server.texts(fork.session_id) == ["Why is it blue?"]
    for method in ("CreateMessage", "ForkSession"):
        *_, earlier, later = (seen.request for seen in server.of(method))
        assert earlier == later
        assert earlier.request_id  # type: ignore[attr-defined]
    assert client.get_message(first.message_id) == first


def test_a_search_goes_through_its_pages(client: Client, server: ScriptedSessions) -> None:
    one, other = server.open(), server.open()
    for number in range(7):
        server.say(one.session_id, USER, f"blue sky {number}")
    server.say(other.session_id, USER, "blue sea")
    assert len(list(client.search_messages("blue", page_size=3))) == 8
    found = [hit.snippet for hit in client.search_messages("sky blue", session_id=one.session_id, skip=5)]
    assert found == ["blue sky 5", "blue sky 6"]
    assert len(server.of("SearchMessages")) == 4


def test_a_deleted_session_is_not_found(client: Client, server: ScriptedSessions) -> None:
    session = server.open()
    client.delete_session(session.session_id)
    with pytest.raises(NotFound):
        client.get_session(session.session_id)


def test_a_text_is_counted_as_one_message_of_a_person(client: Client, server: ScriptedSessions) -> None:
    counted = client.count_tokens("three short words", model="gpt-4o", system_prompt="Be kind.")
    assert (counted.input_tokens, counted.model, counted.error_percent) == (3, "gpt-4o", 12)
    request = server.of("CountTokens")[0].request
    assert isinstance(request, chat_pb2.CountTokensRequest)
    assert [message.role for message in request.conversation.messages] == [USER]
    assert request.system_prompt == "Be kind."
    two = [chat_pb2.Message(role=USER, parts=[chat_pb2.Part(text=text)]) for text in ("one", "and two")]
    assert client.count_tokens(two).input_tokens == 3


async def test_the_asynchronous_client_does_the_same(server: ScriptedSessions) -> None:
    async with AsyncClient(server.address, token="ak_1_secret", retries=QUICK) as client:
        session = await client.create_session(title="Sky")
        message = await client.create_message(session.session_id, "blue")
        assert (await client.get_message(message.message_id)).parts[0].text == "blue"
        assert (await client.update_session(session.session_id, title="Dusk")).title == "Dusk"
        fork = await client.fork_session(session.session_id, message.message_id)
        assert [each.title async for each in client.list_sessions(page_size=1)] == ["Dusk", "Dusk"]
        assert [each.parts[0].text async for each in client.list_messages(fork.session_id)] == ["blue"]
        assert len([hit async for hit in client.search_messages("blue", page_size=1)]) == 2
        assert (await client.count_tokens("one two")).input_tokens == 2
        await client.delete_session(session.session_id)
        assert (await client.get_session(fork.session_id)).forked_from_session_id == session.session_id


def test_every_rpc_of_chat_for_people_has_a_verb() -> None:
    paths = {
        method.path.rpartition("/")[2]
        for module in (_calls, _session_calls)
        for method in vars(module).values()
        if isinstance(method, Method) and "ChatService" in method.path
    }
    service = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
    assert paths == {method.name for method in service.methods} - {"SummarizeUsage", "RedeliverUsage"}


def test_a_stream_tells_of_its_reconnections(client: Client, server: ScriptedSessions) -> None:
    told: list[Reconnect] = []
    server.streams.append([*server.record[:2], BROKEN])
    server.streams.append([BROKEN])
    server.streams.append([server.record[2], BROKEN])
    assert len(list(client.stream("Hi", on_reconnect=told.append))) == 5
    assert [each.attempt for each in told] == [1, 2, 1]
    assert all(isinstance(each.failure, Unreachable) for each in told)
    assert all(0 <= each.pause <= 0.05 for each in told)


async def test_an_asynchronous_stream_tells_of_its_reconnections(server: ScriptedSessions) -> None:
    told: list[Reconnect] = []
    server.streams.append([*server.record[:2], BROKEN])
    async with AsyncClient(server.address, retries=QUICK) as client:
        assert len([event async for event in client.stream("Hi", on_reconnect=told.append)]) == 5
    assert [each.attempt for each in told] == [1]


def test_another_model_that_answers_is_told(client: Client, server: ScriptedSessions) -> None:
    fallback = chat_pb2.Fallback(
        model="github/gpt-4o", failed_model="gpt-4o", error_reason="PROVIDER_RATE_LIMITED"
    )
    record = [server.record[0], chat_pb2.ChatEvent(first_seq=2, seq=2, fallback=fallback)]
    for number, event in enumerate(server.record[1:], start=3):
        moved = chat_pb2.ChatEvent()
        moved.CopyFrom(event)
        moved.first_seq = moved.seq = number
        record.append(moved)
    server.streams.append(record)
    assert [event.fallback.model for event in client.stream("Hi") if event.HasField("fallback")] == [
        "github/gpt-4o"
    ]
