"""Events, requests and resources, to the contract and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from antiphon.chat.v1 import chat_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.capabilities.metering.model import NO_USAGE, Provenance, Unit, Usage
from services.capabilities.upstream.errors import UnsupportedInput
from services.chat.generation.merging import assembled
from services.chat.mapping.events import event_to_proto, events_from_bytes, events_to_bytes, joined_from_bytes
from services.chat.mapping.names import (
    capability_to_proto,
    finish_reason_from_proto,
    finish_reason_to_proto,
    role_from_proto,
    role_to_proto,
    state_to_proto,
)
from services.chat.mapping.requests import chat_call, new_message
from services.chat.mapping.resources import message_to_proto
from services.chat.model import (
    Body,
    Capability,
    Event,
    Finished,
    FinishReason,
    Image,
    OnDisconnect,
    ReasoningDelta,
    Role,
    Started,
    State,
    TextDelta,
    ToolCallDelta,
)
from services.kernel.errors import InvalidArgument
from tests.fakes.chat_play import is_dense

KEY = b"k" * 32
texts = st.text(st.characters(codec="utf-8"), max_size=20)
usages = st.one_of(
    st.just(NO_USAGE),
    st.builds(
        Usage,
        st.dictionaries(st.sampled_from(Unit), st.integers(1, 2**53), min_size=1),
        st.sampled_from([Provenance.REPORTED, Provenance.ESTIMATED]),
    ),
)
bodies = st.one_of(
    st.builds(TextDelta, texts),
    st.builds(ReasoningDelta, texts),
    st.builds(ToolCallDelta, st.integers(0, 1023), texts, texts, texts),
    st.builds(Started, texts, texts, texts, texts),
    st.builds(Finished, st.sampled_from(FinishReason), texts, usages),
)
times = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
events = st.builds(
    lambda first, length, time, body: Event(first, first + length, time, body),
    st.integers(1, 2**40),
    st.integers(0, 1000),
    times,
    bodies,
)


@given(st.lists(events, max_size=6))
def test_recorded_events_come_back_as_they_were(many: list[Event]) -> None:
    assert events_from_bytes(events_to_bytes(many)) == many


@given(
    st.lists(bodies, min_size=1, max_size=30),
    st.lists(st.integers(1, 3), min_size=30, max_size=30),
    st.data(),
)
def test_joined_events_add_up_to_the_same(said: list[Body], widths: list[int], data: st.DataObject) -> None:
    record: list[Event] = []
    seq = 0
    for body, width in zip(said, widths, strict=False):
        record.append(Event(seq + 1, seq + width, datetime.now(UTC), body))
        seq += width
    after = data.draw(st.sampled_from([0, *(event.seq for event in record)]))
    rest = [event for event in record if event.seq > after]
    joined = joined_from_bytes(events_to_bytes(record), after)
    assert is_dense(joined, after)
    assert assembled(joined) == assembled(rest)
    assert {event.seq for event in joined} <= {event.seq for event in rest}
    assert joined_from_bytes(events_to_bytes(joined), after) == joined


def test_a_record_that_is_cut_off_is_refused() -> None:
    payload = events_to_bytes([Event(1, 1, datetime.now(UTC), TextDelta("x" * 200))])
    for end in range(1, len(payload)):
        with pytest.raises(ValueError, match="cut off"):
            events_from_bytes(payload[:end])


def test_empty_deltas_are_events_as_well() -> None:
    for body in (TextDelta(""), ReasoningDelta(""), ToolCallDelta(0, "", "", "")):
        assert event_to_proto(Event(1, 1, datetime.now(UTC), body)).WhichOneof("event")


def test_an_event_that_nobody_records_is_refused() -> None:
    with pytest.raises(ValueError, match="not known"):
        events_from_bytes(b"\x04" + chat_pb2.ChatEvent(first_seq=1, seq=1).SerializeToString())


def test_every_name_has_its_counterpart() -> None:
    for reason in FinishReason:
        assert finish_reason_from_proto(finish_reason_to_proto(reason)) is reason
    for role in Role:
        assert role_from_proto(role_to_proto(role)) is role
    assert len({state_to_proto(state) for state in State}) == len(State)
    assert len({capability_to_proto(one) for one in Capability}) == len(Capability)
    assert finish_reason_to_proto(None) == chat_pb2.FINISH_REASON_UNSPECIFIED


def request(**fields: object) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(**{"message": "Hola", **fields})  # type: ignore[arg-type]


def conversation(*messages: chat_pb2.Message, **fields: object) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(
        conversation=chat_pb2.Conversation(messages=messages),
        **fields,  # type: ignore[arg-type]
    )


def said(role: chat_pb2.MessageRole, *parts: str) -> chat_pb2.Message:
    return chat_pb2.Message(role=role, parts=[chat_pb2.Part(text=part) for part in parts])


def test_what_is_absent_stays_absent() -> None:
    call = chat_call(request(), "StreamChat", KEY)
    assert call.message == "Hola"
    assert (call.digest, call.on_disconnect, call.disconnect_grace) == (b"", None, None)
    assert (call.parameters.temperature, call.parameters.seed, call.parameters.json_schema) == (
        None,
        None,
        None,
    )


def test_what_is_zero_is_given() -> None:
    asked = request(
        parameters=chat_pb2.Parameters(temperature=0, seed=0), on_disconnect=chat_pb2.ON_DISCONNECT_STOP
    )
    asked.disconnect_grace.FromTimedelta(timedelta())
    call = chat_call(asked, "StreamChat", KEY)
    assert (call.parameters.temperature, call.parameters.seed) == (0, 0)
    assert (call.on_disconnect, call.disconnect_grace) == (OnDisconnect.STOP, timedelta())


ID = "3F2504E0-4F89-41D3-9A0C-0305E82C3301"


def digest(asked: chat_pb2.StreamChatRequest | chat_pb2.ChatRequest, key: bytes = KEY) -> bytes:
    return chat_call(asked, "StreamChat", key).digest


def test_a_body_has_one_digest_whatever_its_request_id_and_rpc() -> None:
    first = digest(request(request_id=ID))
    assert len(first) == 32
    assert first == digest(request(request_id=ID.lower()))
    assert first == digest(chat_pb2.ChatRequest(message="Hola", request_id=ID))
    assert first != digest(request(request_id=ID, message="Hola!"))
    assert first != digest(request(request_id=ID, project="p"))
    assert first != digest(request(request_id=ID), b"x" * 32)
    assert chat_call(request(request_id=ID), "Chat", KEY).request_id == ID.lower()


USER, ASSISTANT, TOOL = (
    chat_pb2.MESSAGE_ROLE_USER,
    chat_pb2.MESSAGE_ROLE_ASSISTANT,
    chat_pb2.MESSAGE_ROLE_TOOL,
)
CALL = chat_pb2.ToolCall(tool_call_id="c", name="look", arguments_json="{}")


def test_a_conversation_is_read_with_its_tools() -> None:
    called = chat_pb2.Message(role=ASSISTANT, tool_calls=[CALL])
    result = said(TOOL, "")
    result.tool_call_id = "c"
    call = chat_call(conversation(said(USER, "a", "b"), called, result), "Chat", KEY)
    assert [message.role for message in call.conversation] == [Role.USER, Role.ASSISTANT, Role.TOOL]
    assert call.conversation[0].texts == ("a", "b")
    assert call.conversation[1].tool_calls[0].name == "look"
    assert call.conversation[2].tool_call_id == "c"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (request(message=" \n\t"), "message"),
        (request(message="a\0b"), "message"),
        (request(project="\0"), "project"),
        (request(system_prompt="\0"), "system_prompt"),
        (conversation(said(USER, "a"), session_id=ID), "session_id"),
        (conversation(chat_pb2.Message(role=ASSISTANT)), "conversation.messages[0].parts"),
        (conversation(said(ASSISTANT, "a"), said(USER, "", " ")), "conversation.messages[1].parts"),
        (request(parameters=chat_pb2.Parameters(json_schema="{")), "parameters.json_schema"),
        (request(parameters=chat_pb2.Parameters(json_schema="[1]")), "parameters.json_schema"),
        (request(parameters=chat_pb2.Parameters(json_schema="[" * 60_000)), "parameters.json_schema"),
        (
            request(tools=[chat_pb2.Tool(name="a"), chat_pb2.Tool(name="b", parameters_json_schema="no")]),
            "tools[1].parameters_json_schema",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_field(
    asked: chat_pb2.StreamChatRequest, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        chat_call(asked, "StreamChat", KEY)
    assert [violation.field for violation in refused.value.violations] == [field]


def picture(**fields: str) -> chat_pb2.Part:
    return chat_pb2.Part(image=chat_pb2.Image(**fields))


def test_pictures_keep_their_place_among_texts_and_know_their_field() -> None:
    parts = [chat_pb2.Part(text="look"), picture(image_id=ID, owner_token="t"), picture(uri="https://a.b/c")]
    call = chat_call(conversation(said(USER, "a"), chat_pb2.Message(role=USER, parts=parts)), "Chat", KEY)
    message = call.conversation[1]
    assert message.parts == ("look", Image(image_id=ID.lower()), Image(uri="https://a.b/c"))
    assert [image.path for image in message.images] == [
        "conversation.messages[1].parts[1].image",
        "conversation.messages[1].parts[2].image",
    ]
    assert [image.owner_token for image in message.images] == ["t", ""]
    assert "owner_token" not in repr(message.images[0])
    alone = new_message(chat_pb2.Message(role=USER, parts=[picture(uri="https://a.b/c")]))
    assert [part.image.uri for part in message_to_proto(alone).parts] == ["https://a.b/c"]
    shown = message_to_proto(message)
    assert [part.WhichOneof("content") for part in shown.parts] == ["text", "image", "image"]
    assert not shown.parts[1].image.owner_token


def test_pictures_go_with_a_message_and_change_what_the_call_is() -> None:
    image = chat_pb2.Image(uri="https://a.b/c")
    call = chat_call(request(images=[image]), "StreamChat", KEY)
    assert [(found.uri, found.path) for found in call.images] == [("https://a.b/c", "images[0]")]
    assert digest(request(request_id=ID, images=[image])) != digest(request(request_id=ID))
    with pytest.raises(InvalidArgument) as refused:
        chat_call(conversation(said(USER, "a"), images=[image]), "StreamChat", KEY)
    assert refused.value.violations[0].field == "images"


@pytest.mark.parametrize("role", [ASSISTANT, TOOL, chat_pb2.MESSAGE_ROLE_SYSTEM])
def test_pictures_of_others_than_users_are_refused_by_their_place(role: chat_pb2.MessageRole) -> None:
    asked = conversation(chat_pb2.Message(role=role, parts=[chat_pb2.Part(text="a"), picture(image_id=ID)]))
    with pytest.raises(UnsupportedInput) as refused:
        chat_call(asked, "StreamChat", KEY)
    assert refused.value.violations[0].field == "conversation.messages[0].parts[1].image"
