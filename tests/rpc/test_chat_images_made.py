"""Images of the Image service in chats: made by one call, looked at by another, with Image in the same process and in another one."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.image.v1 import image_pb2

from tests.fakes.chat_pictures import CATALOG
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import Person, Serve, Served, events_of, failure, somebody, words

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

Start = Callable[..., Any]


@pytest.fixture(params=["together", "apart"])
def start(request: pytest.FixtureRequest, serve: Serve, model: Stage, tmp_path: Path) -> Start:
    """Starts Chat with a model that sees, and Image; keyword arguments are settings of Chat."""
    path = tmp_path / "seeing.toml"
    path.write_text(CATALOG.format(model.upstream.base_url))

    @asynccontextmanager
    async def started(**environ: str) -> AsyncIterator[tuple[Served, Served]]:
        environ["ANTIPHON_CHAT__MODELS_FILE"] = str(path)
        if request.param == "together":
            async with serve("auth", "chat", "image", **environ) as both:
                yield both, both
            return
        async with serve("auth", "image") as images:
            address = images.suite.server.address
            async with serve(
                "chat", ANTIPHON_PEERS__AUTH=address, ANTIPHON_PEERS__IMAGE=address, **environ
            ) as chats:
                yield chats, images

    return started


async def made(suite: Served, person: Person | None) -> image_pb2.Image:
    request = image_pb2.GenerateImageRequest(prompt="a cat", size="512x512", model="procedural", seed=2)
    answer = await suite.images.GenerateImage(request, metadata=person.metadata if person else ())
    return answer.images[0]


def asked(suite: Served, person: Person | None, image: chat_pb2.Image, **more: Any) -> Any:
    request = chat_pb2.StreamChatRequest(message="What is it?", model="seeing", images=[image], **more)
    return suite.chat.StreamChat(request, metadata=person.metadata if person else ())


def seen(model: Stage) -> tuple[str, bytes]:
    """The picture that the model was shown last."""
    content = model.exchanges[-1].json["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    kind, _, encoded = content[0]["image_url"]["url"].partition(";base64,")
    return kind, b64decode(encoded, validate=True)


async def test_an_image_is_shown_to_a_model_for_whom_it_was_made(start: Start, model: Stage) -> None:
    ana, eva = somebody(), somebody()
    async with start() as (chats, images):
        image = await made(images, ana)
        named = chat_pb2.Image(image_id=image.image_id)
        request_id = str(uuid.uuid4())
        events = await events_of(asked(chats, ana, named, request_id=request_id))
        assert words(events)
        kind, data = seen(model)
        assert kind == "data:image/png"
        assert hashlib.sha256(data).hexdigest() == image.sha256
        # Somebody else's is like none.
        told = []
        for image_id in (image.image_id, str(uuid.uuid4())):
            found = await failure(events_of(asked(chats, eva, chat_pb2.Image(image_id=image_id))))
            assert found.what == ("NOT_FOUND", "NOT_FOUND")
            assert found.resource == ("image.image", image_id)
            told.append(found.text.replace(image_id, "ID"))
        assert told[0] == told[1]
        # What was deleted is shown no more, and the session goes on.
        await images.images.DeleteImage(
            image_pb2.DeleteImageRequest(image_id=image.image_id), metadata=ana.metadata
        )
        assert await events_of(asked(chats, ana, named, request_id=request_id)) == events
        session_id = events[0].started.session_id
        again = chat_pb2.StreamChatRequest(message="Sure?", session_id=session_id, model="seeing")
        assert words(await events_of(chats.chat.StreamChat(again, metadata=ana.metadata)))
        assert model.exchanges[-1].json["messages"][0]["content"] == "[image]\nWhat is it?"


async def test_an_image_of_nobody_is_shown_to_who_has_its_token(start: Start, model: Stage) -> None:
    async with start() as (chats, images):
        image = await made(images, None)
        named = chat_pb2.Image(image_id=image.image_id, owner_token=image.owner_token)
        assert words(await events_of(asked(chats, None, named)))
        assert hashlib.sha256(seen(model)[1]).hexdigest() == image.sha256
        found = await failure(events_of(asked(chats, None, chat_pb2.Image(image_id=image.image_id))))
        assert found.what == ("NOT_FOUND", "NOT_FOUND")


async def test_an_image_that_is_too_large_is_shown_as_jpeg_or_not_at_all(start: Start, model: Stage) -> None:
    ana = somebody()
    async with start(ANTIPHON_CHAT__MAX_IMAGE_BYTES="96KiB") as (chats, images):
        image = await made(images, ana)
        assert image.size_bytes > 96 * 1024
        assert words(await events_of(asked(chats, ana, chat_pb2.Image(image_id=image.image_id))))
        kind, data = seen(model)
        assert (kind, data[:3]) == ("data:image/jpeg", b"\xff\xd8\xff")
    async with start(ANTIPHON_CHAT__MAX_IMAGE_BYTES="4KiB") as (chats, images):
        image = await made(images, ana)
        found = await failure(events_of(asked(chats, ana, chat_pb2.Image(image_id=image.image_id))))
        assert found.what == ("INVALID_ARGUMENT", "IMAGE_UNREACHABLE")
        assert list(found.fields) == ["images[0]"]
