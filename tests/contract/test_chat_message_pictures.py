"""What Chat's stores promise of messages with pictures."""

from __future__ import annotations

from dataclasses import replace

from services.chat.model import Image, Message, Part, Role
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_records import TTL, completed, new_generation
from tests.fakes.chat_stores import ChatStores, new_session

MADE, PUBLIC = Image(image_id="0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11"), Image(uri="https://example.org/a?b=c")


async def asked(stores: ChatStores, *parts: Part) -> tuple[Message, str]:
    """A call with these parts that opens a session, answered: its question, and the session's id."""
    new = new_generation(user_id="u1", session=new_session("u1"))
    assert new.user_message is not None
    new = replace(new, user_message=replace(new.user_message, parts=parts))
    lease = await stores.records.acquire(new_id(), TTL)
    assert await stores.records.begin(lease, new) is None
    assert await stores.records.finish(lease, new.generation, completed(new, 2, "a cat"), None)
    assert new.user_message is not None
    return new.user_message, new.generation.session_id


async def test_pictures_stay_where_they_are_among_texts(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    for parts in (
        (MADE, "What is this?"),
        ("This: ", PUBLIC, " or this: ", MADE, ""),
        (PUBLIC,),
        (MADE, MADE),
    ):
        (message,) = await chat_stores.said(session, "")
        message = replace(message, message_id=new_id(), parts=parts)
        assert await chat_stores.sessions.create_message(message, "u1", None) == message
        found = await chat_stores.sessions.message(message.message_id, "u1")
        assert found == message
        assert found.parts == parts


async def test_a_question_keeps_its_pictures_for_the_questions_after_it(chat_stores: ChatStores) -> None:
    question, session_id = await asked(chat_stores, PUBLIC, "What is this?", MADE)
    found = await chat_stores.records.context(session_id, "u1", 100)
    assert found is not None
    assert [message.parts for message in found[1]] == [question.parts, ("a cat",)]
    fork = new_session("u1", forked_from_session_id=session_id)
    assert await chat_stores.sessions.fork_session(fork, question.message_id, None) == fork
    assert [message.parts for message in await chat_stores.listed(fork.session_id)] == [question.parts]


async def test_what_is_said_of_a_picture_for_one_call_is_not_kept(chat_stores: ChatStores) -> None:
    told = replace(MADE, owner_token="secret", path="images[0]")
    _, session_id = await asked(chat_stores, told, "What is this?")
    kept, _ = await chat_stores.listed(session_id)
    assert [(image.owner_token, image.path) for image in kept.images] == [("", "")]


async def test_a_message_is_found_by_its_texts_alone_and_shown_with_its_pictures(
    chat_stores: ChatStores,
) -> None:
    question, _ = await asked(chat_stores, PUBLIC, "What is this?")
    for words, parts in (("what", [question.parts]), ("example", []), ("uri", [])):
        page = await chat_stores.sessions.search("u1", "", words, PageRequest())
        assert [message.parts for message in page.items] == parts


async def test_addresses_count_in_a_page(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    many = tuple(Image(uri=f"https://example.org/{'x' * 2_000}{number}") for number in range(64))
    for _ in range(40):
        message = Message(new_id(), Role.USER, many, session_id=session.session_id)
        message = replace(message, create_time=session.create_time)
        assert await chat_stores.sessions.create_message(message, "u1", None) is not None
    page = await chat_stores.sessions.messages(session.session_id, PageRequest(100))
    assert 10 < len(page.items) < 40
    assert page.after
    found = await chat_stores.records.context(session.session_id, "u1", 400)
    assert found is not None
    assert 10 < len(found[1]) < 40
