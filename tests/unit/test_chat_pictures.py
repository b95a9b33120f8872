"""Pictures of messages, as models are shown them: which, when they are fetched, and how long they are held."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capabilities.upstream.errors import ProviderUnavailable, UnsupportedInput
from services.chat.errors import ImageUnreachable, PicturesOverloaded
from services.chat.generation.tokens import picture_tokens
from services.chat.model import Capability, Image, Message, Part, Picture, Role
from services.chat.ports import CatalogModel
from services.chat.usecases.context import build_context
from services.kernel.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from tests.fakes.chat_pictures import IMAGE_ID, PNG, at
from tests.fakes.chat_play import ALICE, ANONYMOUS, Chat, ScriptedProvider, a_call, a_model, chat, until

SEEING = a_model(capabilities=[Capability.VISION])


def seeing(**changes: object) -> CatalogModel:
    return replace(SEEING, provider=ScriptedProvider(), **changes)  # type: ignore[arg-type]


def said(*parts: Part, role: Role = Role.USER) -> Message:
    return Message("", role, parts)


def shown(it: Chat) -> list[Part]:
    """What the model has been given to read and to see, without the system prompt."""
    return [part for message in it.play.call.messages for part in message.parts]


# -- which


parts = st.lists(
    st.one_of(st.text("ab", min_size=1, max_size=3), st.builds(at, st.text("xyz", min_size=1, max_size=2))),
    min_size=1,
    max_size=6,
)


@given(st.lists(parts, min_size=1, max_size=8), st.booleans())
def test_a_model_is_shown_the_newest_ten_pictures_and_words_for_the_others(
    turns: list[list[Part]], sees: bool
) -> None:
    history = []
    for turn in turns:
        history += [said(*turn), said("fine", role=Role.ASSISTANT)]
    model = a_model(1_000_000, [Capability.VISION] if sees else [])
    context, tokens = build_context(model, "", [*history, said("and now?")], a_call())
    flat = [part for message in context for part in message.parts]
    before = [part for turn in turns for part in (*turn, "fine")] + ["and now?"]
    images = [place for place, part in enumerate(before) if isinstance(part, Image)]
    kept = set(images[-10:] if sees else [])
    assert flat == [
        "[image]\n" if place in images and place not in kept else part for place, part in enumerate(before)
    ]
    assert len(kept) * picture_tokens() <= tokens < len(kept) * picture_tokens() + 1_000


def test_pictures_count_in_the_window() -> None:
    history = [said(at("a:1"), "one"), said("fine", role=Role.ASSISTANT), said("two")]
    narrow, wide = (a_model(size, [Capability.VISION]) for size in (2_000, 8_000))
    assert [message.text for message in build_context(narrow, "", history, a_call())[0]] == ["two"]
    assert len(build_context(wide, "", history, a_call())[0]) == 3


def test_turns_of_one_person_in_a_row_are_one_with_their_pictures() -> None:
    context, _ = build_context(SEEING, "", [said("a", at("a:1")), said(at("a:2"))], a_call())
    assert [message.parts for message in context] == [("a", at("a:1"), "\n\n", at("a:2"))]


def test_a_model_that_does_not_see_refuses_what_it_is_asked_about() -> None:
    asked = said("Look", at("a:1", "conversation.messages[2].parts[1].image"))
    with pytest.raises(UnsupportedInput) as refused:
        build_context(a_model(), "", [said(at("a:0")), said("fine", role=Role.ASSISTANT), asked], a_call())
    assert refused.value.violations[0].field == "conversation.messages[2].parts[1].image"
    assert refused.value.metadata == {"model": "scripted"}


def test_more_than_ten_pictures_of_a_question_are_refused_by_the_first_too_many() -> None:
    asked = said(*(at(f"a:{number}", f"images[{number}]") for number in range(11)))
    with pytest.raises(InvalidArgument) as refused:
        build_context(SEEING, "", [asked], a_call())
    assert refused.value.violations[0].field == "images[10]"


# -- when


async def test_a_question_has_its_pictures_and_a_session_keeps_where_they_are() -> None:
    async with chat(model=seeing()) as it:
        image = it.pictures.hang(Image(image_id=IMAGE_ID, owner_token="t", path="images[0]"))
        id_ = await it.begin(images=(image,), message="What is it?")
        assert shown(it) == [image, "What is it?"]
        assert it.play.call.pictures == {image: Picture(PNG, "image/png")}
        assert it.pictures.asked == [("alice", image)]
        assert it.pictures.asked[0][1].owner_token == "t"
        it.play.finish()
        await it.ended(id_)
        await it.begin(session_id=(await it.stored(id_)).session_id, message="Sure?")
        assert shown(it)[0] == image
        assert len(it.pictures.asked) == 2


async def test_a_repeated_call_finds_its_answer_without_a_picture() -> None:
    async with chat(model=seeing()) as it:
        image = it.pictures.hang(at("https://a.b/c", "images[0]"))
        call: dict[str, Any] = {"request_id": str(uuid.uuid4()), "digest": b"d", "images": (image,)}
        id_ = await it.begin(**call)
        del it.pictures.hung[image]
        assert await it.start(ALICE, a_call(**call), None) == id_
        assert len(it.pictures.asked) == 1


@pytest.mark.parametrize(
    "problem",
    [NotFound.of("image.image", "x"), ImageUnreachable("images[0]", "it is too large"), Unavailable("away")],
)
async def test_a_picture_that_cannot_be_had_refuses_the_call_and_claims_nothing(problem: Exception) -> None:
    async with chat(model=seeing()) as it:
        image = it.pictures.hang(at("https://a.b/c", "images[0]"), problem)
        call: dict[str, Any] = {"request_id": str(uuid.uuid4()), "digest": b"d", "images": (image,)}
        with pytest.raises(type(problem)):
            await it.start(ALICE, a_call(**call), None)
        assert not it.provider.plays
        it.pictures.hang(image)
        await it.begin(**call)


async def test_a_key_shows_no_image_that_it_could_not_read() -> None:
    key = replace(ALICE, api_key_id="k", scopes=frozenset({"chat.write"}))
    async with chat(model=seeing()) as it:
        made = it.pictures.hang(Image(image_id=IMAGE_ID, path="images[0]"))
        public = it.pictures.hang(at("https://a.b/c", "images[0]"))
        with pytest.raises(PermissionDenied) as refused:
            await it.start(key, a_call(images=(made,)), None)
        assert (refused.value.reason, refused.value.metadata) == ("SCOPE_REQUIRED", {"scope": "image.read"})
        turns = (said("One", made), said("fine", role=Role.ASSISTANT), said(public, "So?"))
        await it.begin(key, message=None, conversation=turns)
        assert shown(it) == ["One", "[image]\n", "fine", public, "So?"]
        assert [image for _, image in it.pictures.asked] == [public]
        able = replace(key, scopes=frozenset({"chat.write", "image.read"}))
        await it.begin(able, images=(made,))


async def test_a_picture_of_an_earlier_turn_that_is_gone_is_told_in_a_word() -> None:
    async with chat(model=seeing()) as it:
        gone, there = at("https://a.b/gone"), it.pictures.hang(at("https://a.b/there"))
        turns = (said("One", gone, "two", there), said("fine", role=Role.ASSISTANT), said("So?"))
        await it.begin(message=None, conversation=turns)
        assert shown(it) == ["One", "[image]\n", "two", there, "fine", "So?"]
        assert set(it.play.call.pictures) == {there}


async def test_a_fallback_sees_the_same_or_is_passed_over() -> None:
    blind = replace(a_model(), name="blind", provider=ScriptedProvider())
    second = seeing(name="second")
    async with chat(model=seeing(fallbacks=("blind", "second")), others=(blind, second)) as it:
        image = it.pictures.hang(at("https://a.b/c", "images[0]"))
        await it.begin(images=(image,))
        it.play.send(ProviderUnavailable("away"))
        assert isinstance(second.provider, ScriptedProvider)
        plays = second.provider.plays
        await until(lambda: plays)
        assert plays[0].call.pictures == {image: Picture(PNG, "image/png")}
        assert isinstance(blind.provider, ScriptedProvider)
        assert not blind.provider.plays


async def test_nobody_waits_longer_for_pictures_than_its_caller() -> None:
    async with chat(model=seeing()) as it:
        it.pictures.gate.clear()
        with pytest.raises(DeadlineExceeded) as late:
            await it.start(ALICE, a_call(images=(at("https://a.b/c", "images[0]"),)), 0.05)
        assert late.value.metadata == {"stage": "pictures"}
        assert it.gallery.held_bytes == 0


# -- how long


async def _bytes_are(it: Chat, count: int) -> None:
    await until(lambda: it.gallery.held_bytes == count)


async def test_pictures_are_held_until_the_answer_begins() -> None:
    async with chat(model=seeing()) as it:
        images = tuple(it.pictures.hang(at(f"https://a.b/{n}", f"images[{n}]")) for n in range(3))
        id_ = await it.begin(ANONYMOUS, images=images)
        assert it.gallery.held_bytes == 3 * len(PNG)
        it.play.say("A")
        await _bytes_are(it, 0)
        assert not it.play.call.pictures
        it.play.finish()
        await it.ended(id_)
        assert it.gallery.held_bytes == 0


async def test_pictures_are_let_go_of_when_nothing_comes_of_the_call() -> None:
    async with chat(model=seeing(), max_generations=1) as it:
        image = it.pictures.hang(at("https://a.b/c", "images[0]"))
        # One that fails,
        id_ = await it.begin(images=(image,))
        it.play.send(ProviderUnavailable("away"))
        await it.ended(id_)
        assert it.gallery.held_bytes == 0
        # one that is not admitted when its pictures have come,
        it.pictures.gate.clear()
        late = asyncio.create_task(it.start(ALICE, a_call(images=(image,)), None))
        await until(lambda: len(it.pictures.asked) == 2)
        await it.begin()
        it.pictures.gate.set()
        with pytest.raises(Exception, match="as many answers as it can"):
            await late
        assert it.gallery.held_bytes == 0
        # one whose caller goes away while they come,
        it.play.finish()
        await until(lambda: not len(it.generations))
        it.pictures.gate.clear()
        left = asyncio.create_task(it.start(ALICE, a_call(images=(image,)), None))
        await until(lambda: len(it.pictures.asked) == 3)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert it.gallery.held_bytes == 0


async def test_a_caller_that_goes_away_while_its_call_begins_leaves_its_pictures_to_the_answer() -> None:
    async with chat(model=seeing()) as it:
        image = it.pictures.hang(at("https://a.b/c", "images[0]"))
        it.store.begin_gate.clear()
        left = asyncio.create_task(it.start(ALICE, a_call(images=(image,)), None))
        await until(lambda: it.store.beginning)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        it.store.begin_gate.set()
        await until(lambda: it.provider.plays)
        assert set(it.play.call.pictures) == {image}
        it.play.finish()
        await _bytes_are(it, 0)


async def test_more_pictures_than_there_is_room_for_are_refused_until_there_is() -> None:
    async with chat(model=seeing(), most_picture_bytes=2_200) as it:
        images = [it.pictures.hang(at(f"https://a.b/{n}", "images[0]"), bytes(700)) for n in range(3)]
        first = await it.begin(images=(images[0],))
        await it.begin(images=(images[1],))
        with pytest.raises(PicturesOverloaded):
            await it.start(ALICE, a_call(images=(images[2],)), None)
        await it.cancel(ALICE, first, "")
        await it.begin(images=(images[2],))


async def test_the_pictures_of_a_call_are_fetched_at_once_and_each_once() -> None:
    async with chat(model=seeing()) as it:
        images = [it.pictures.hang(at(f"https://a.b/{n}", f"images[{n}]")) for n in range(5)]
        it.pictures.gate.clear()
        starting = asyncio.create_task(it.start(ALICE, a_call(images=(*images, *images)), None))
        await until(lambda: len(it.pictures.asked) == len(images))
        it.pictures.gate.set()
        await starting
        assert len(it.pictures.asked) == 5
