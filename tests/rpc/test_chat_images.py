"""Pictures in messages, through the whole suite."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2

from tests.fakes.chat_pictures import CATALOG, IMAGE_ID
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import Person, Served, events_of, failure, words

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

USER = chat_pb2.MESSAGE_ROLE_USER
# Nobody has it: the top-level domain is reserved for that (RFC 2606).
ELSEWHERE = chat_pb2.Image(uri="https://pictures.invalid/a.png")


@pytest.fixture(scope="module")
def suite_environ(module_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path: Path = tmp_path_factory.mktemp("catalog") / "models.toml"
    path.write_text(CATALOG.format(module_stage.upstream.base_url))
    return {"ANTIPHON_CHAT__MODELS_FILE": str(path), "ANTIPHON_CHAT__IMAGE_TIMEOUT": "2"}


def part(image: chat_pb2.Image) -> chat_pb2.Part:
    return chat_pb2.Part(image=image)


def asked(suite: Served, person: Person | None, message: str = "What is it?", **more: Any) -> Any:
    request = chat_pb2.StreamChatRequest(message=message, **more)
    return suite.chat.StreamChat(request, metadata=person.metadata if person else ())


def conversation(*parts: chat_pb2.Part) -> chat_pb2.Conversation:
    return chat_pb2.Conversation(messages=[chat_pb2.Message(role=USER, parts=parts)])


async def added(suite: Served, person: Person, session_id: str, *parts: chat_pb2.Part) -> chat_pb2.Message:
    message = chat_pb2.Message(role=USER, parts=parts)
    request = chat_pb2.CreateMessageRequest(session_id=session_id, message=message)
    return (await suite.chat.CreateMessage(request, metadata=person.metadata)).message


async def test_pictures_are_for_models_that_see(suite: Served, model: Stage, ana: Person) -> None:
    for name in ("blind", "echo"):
        found = await failure(events_of(asked(suite, ana, model=name, images=[ELSEWHERE])))
        assert found.what == ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT")
        assert list(found.fields) == ["images[0]"]
        assert found.metadata["model"] == name
    text = chat_pb2.Part(text="Look")
    request = chat_pb2.ChatRequest(conversation=conversation(text, part(ELSEWHERE)), model="blind")
    found = await failure(suite.chat.Chat(request))
    assert found.what == ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT")
    assert list(found.fields) == ["conversation.messages[0].parts[1].image"]
    assert not model.exchanges


async def test_what_is_not_public_is_never_asked(suite: Served, model: Stage, ana: Person) -> None:
    for person in (ana, None):
        for uri in (model.upstream.base_url, "http://169.254.169.254/latest/meta-data"):
            image = chat_pb2.Image(uri=uri)
            found = await failure(events_of(asked(suite, person, model="seeing", images=[image])))
            assert found.what == ("INVALID_ARGUMENT", "IMAGE_UNREACHABLE")
            assert list(found.fields) == ["images[0]"]
            assert found.metadata["detail"] == "the address is not a public one"
    assert not model.exchanges
    assert not model.upstream.exchanges


async def test_a_refused_picture_frees_the_request_id(suite: Served, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    image = chat_pb2.Image(uri="http://127.0.0.1:9/a.png")
    for _ in range(2):
        found = await failure(
            events_of(asked(suite, ana, model="seeing", images=[image], request_id=request_id))
        )
        assert found.what == ("INVALID_ARGUMENT", "IMAGE_UNREACHABLE")
    assert words(await events_of(asked(suite, ana, model="seeing", request_id=request_id)))


async def test_without_an_image_service_its_images_cannot_be_shown(suite: Served, ana: Person) -> None:
    image = chat_pb2.Image(image_id=IMAGE_ID)
    found = await failure(events_of(asked(suite, ana, model="seeing", images=[image])))
    assert found.what == ("FAILED_PRECONDITION", "SERVICE_UNKNOWN")


async def test_a_session_keeps_pictures_and_goes_on_without_them(
    suite: Served, model: Stage, ana: Person
) -> None:
    created = await suite.chat.CreateSession(chat_pb2.CreateSessionRequest(), metadata=ana.metadata)
    session_id = created.session.session_id
    made = chat_pb2.Image(image_id=IMAGE_ID.upper(), owner_token="t")
    message = await added(suite, ana, session_id, part(ELSEWHERE), chat_pb2.Part(text="this"), part(made))
    kept = chat_pb2.Image(image_id=IMAGE_ID)
    assert list(message.parts) == [part(ELSEWHERE), chat_pb2.Part(text="this"), part(kept)]
    alone = await added(suite, ana, session_id, part(ELSEWHERE))
    listed = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=session_id), metadata=ana.metadata
    )
    assert list(listed.messages) == [alone, message]
    found = await suite.chat.GetMessage(
        chat_pb2.GetMessageRequest(message_id=message.message_id), metadata=ana.metadata
    )
    assert found.message == message
    fork = await suite.chat.ForkSession(
        chat_pb2.ForkSessionRequest(session_id=session_id, message_id=alone.message_id), metadata=ana.metadata
    )
    for name in ("seeing", "blind"):
        model.clear()
        events = await events_of(asked(suite, ana, "So?", model=name, session_id=fork.session.session_id))
        assert words(events)
        assert model.exchanges[0].json["messages"][0] == {
            "role": "user",
            "content": "[image]\nthis[image]\n\n\n[image]\n\n\nSo?",
        }


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"images": [chat_pb2.Image()]}, "images[0].source"),
        ({"images": [chat_pb2.Image(uri="no address")]}, "images[0].uri"),
        ({"images": [chat_pb2.Image(image_id="7")]}, "images[0].image_id"),
        ({"images": [ELSEWHERE] * 11}, "images"),
        ({"images": [ELSEWHERE], "conversation": conversation(chat_pb2.Part(text="a"))}, "images"),
    ],
)
async def test_pictures_that_are_named_wrongly(
    suite: Served, ana: Person, more: dict[str, Any], field: str
) -> None:
    request = chat_pb2.StreamChatRequest(**{"message": "What?", "model": "seeing", **more})
    if "conversation" in more:
        request = chat_pb2.StreamChatRequest(model="seeing", **more)
    found = await failure(events_of(suite.chat.StreamChat(request, metadata=ana.metadata)))
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert list(found.fields) == [field]
