"""ImageService as its callers meet it: the real suite, its codecs, its folder of objects, `procedural` as the model."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from antiphon.image.v1 import image_pb2
from antiphon.usage.v1 import usage_pb2
from PIL import Image as Pixels

from services.capabilities.identity.providers.service import ServiceTokens
from tests.fakes.served_suite import SECRET, Metadata, Person, Served, failure, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return ("auth", "image")


def asked(prompt: str = "a cat", **more: Any) -> image_pb2.GenerateImageRequest:
    return image_pb2.GenerateImageRequest(prompt=prompt, **{"size": "256x256", **more})


async def made(suite: Served, person: Person | None, prompt: str = "a cat", **more: Any) -> image_pb2.Image:
    """One image."""
    answer = await suite.images.GenerateImage(
        asked(prompt, **more), metadata=person.metadata if person else None
    )
    (image,) = answer.images
    return image


async def downloaded(
    suite: Served, image_id: str, metadata: Metadata | None, **more: Any
) -> tuple[bytes, list[image_pb2.DownloadImageResponse]]:
    """The bytes of an image, and the messages that they came in."""
    request = image_pb2.DownloadImageRequest(image_id=image_id, **more)
    messages = [message async for message in suite.images.DownloadImage(request, metadata=metadata)]
    return b"".join(message.chunk for message in messages), messages


def objects(suite: Served) -> dict[str, Path]:
    """The objects of the suite's folder, by key. Folders may go while they are looked through."""
    root = suite.suite.settings.data_dir / "blobs"
    found = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    return {str(path.relative_to(root)): path for path in found}


async def test_an_image_is_described_and_downloads_as_it_was_made(suite: Served, ana: Person) -> None:
    image = await made(suite, ana, style="anime", seed=5)
    assert (image.status, image.user_id) == (image_pb2.IMAGE_STATUS_COMPLETED, ana.user_id)
    assert (image.model, image.provider, image.size, image.style) == (
        "procedural",
        "procedural",
        "256x256",
        "anime",
    )
    day = image.create_time.ToDatetime().strftime("%Y/%m/%d")
    assert image.object_key == f"requests/{day}/{image.image_id}/image/original.png"
    assert (image.metadata.seed, image.metadata.width, image.metadata.height) == (5, 256, 256)
    assert not image.owner_token
    assert not image.download_url
    found = await suite.images.GetImage(
        image_pb2.GetImageRequest(image_id=image.image_id.upper()), metadata=ana.metadata
    )
    assert found.image == image
    data, messages = await downloaded(suite, image.image_id, ana.metadata)
    assert hashlib.sha256(data).hexdigest() == image.sha256 == messages[-1].sha256
    assert len(data) == image.size_bytes == messages[0].total_bytes
    assert messages[0].content_type == "image/png"
    with Pixels.open(io.BytesIO(data)) as pixels:
        assert (pixels.format, pixels.size) == ("PNG", (256, 256))
        assert pixels.info["Description"] == "a cat"


async def test_the_same_seed_makes_the_same_picture(suite: Served, ana: Person) -> None:
    pictures = []
    for seed in (1, 1, 2):
        image = await made(suite, ana, seed=seed)
        data, _ = await downloaded(suite, image.image_id, ana.metadata)
        with Pixels.open(io.BytesIO(data)) as pixels:
            pictures.append(pixels.convert("RGB").tobytes())
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        (image_pb2.IMAGE_FORMAT_JPEG, "JPEG"),
        (image_pb2.IMAGE_FORMAT_WEBP, "WEBP"),
        (image_pb2.IMAGE_FORMAT_AVIF, "AVIF"),
    ],
)
async def test_other_formats_are_made_on_download(
    suite: Served, ana: Person, format_: image_pb2.ImageFormat, name: str
) -> None:
    image = await made(suite, ana)
    data, messages = await downloaded(suite, image.image_id, ana.metadata, format=format_)
    assert messages[-1].sha256 == hashlib.sha256(data).hexdigest() != image.sha256
    assert messages[0].content_type == f"image/{name.lower()}"
    with Pixels.open(io.BytesIO(data)) as pixels:
        assert (pixels.format, pixels.size) == (name, (256, 256))


async def test_a_thumbnail_is_small_and_made_again_when_it_is_gone(suite: Served, ana: Person) -> None:
    image = await made(suite, ana, size="1024x768")
    data, _ = await downloaded(suite, image.image_id, ana.metadata, thumbnail=True)
    with Pixels.open(io.BytesIO(data)) as pixels:
        assert pixels.size == (256, 192)
    objects(suite)[f"derived/{image.image_id}/thumbnail.png"].unlink()
    again, _ = await downloaded(suite, image.image_id, ana.metadata, thumbnail=True)
    with Pixels.open(io.BytesIO(again)) as pixels:
        assert pixels.size == (256, 192)


async def test_the_folder_has_the_tree_of_the_contract(suite: Served, ana: Person) -> None:
    image = await made(suite, ana)
    anonymous = await made(suite, None)
    day = image.create_time.ToDatetime().strftime("%Y/%m/%d")
    for one in (image, anonymous):
        assert sorted(key for key in objects(suite) if one.image_id in key) == [
            f"derived/{one.image_id}/thumbnail.png",
            f"requests/{day}/{one.image_id}/image/original.png",
            f"requests/{day}/{one.image_id}/input.json",
            f"requests/{day}/{one.image_id}/record.json",
        ]
    assert [key for key in objects(suite) if key.startswith(f"users/{ana.user_id}")] == [
        f"users/{ana.user_id}/image/history/{day}.jsonl"
    ]


async def test_an_anonymous_caller_has_a_token_for_what_it_made(suite: Served, ana: Person) -> None:
    image = await made(suite, None)
    assert image.owner_token
    assert not image.user_id
    found = await suite.images.GetImage(
        image_pb2.GetImageRequest(image_id=image.image_id, owner_token=image.owner_token)
    )
    assert found.image.sha256 == image.sha256
    assert not found.image.owner_token
    data, _ = await downloaded(suite, image.image_id, None, owner_token=image.owner_token)
    assert len(data) == image.size_bytes
    for token in ("", image.owner_token[:-1] + "x", "ä"):
        missing = await failure(
            suite.images.GetImage(image_pb2.GetImageRequest(image_id=image.image_id, owner_token=token))
        )
        assert missing.what == ("NOT_FOUND", "NOT_FOUND")
        assert missing.resource == ("image.image", image.image_id)
    refused = await failure(suite.images.GenerateImage(asked(size="1024x1024")))
    assert (refused.what, refused.fields) == (("INVALID_ARGUMENT", "INVALID_ARGUMENT"), ("size",))


async def test_what_is_somebody_elses_is_not_there(suite: Served, ana: Person, ben: Person) -> None:
    image = await made(suite, ana)
    nobodys = str(uuid.uuid4())
    for metadata in (ben.metadata, None):
        for image_id in (image.image_id, nobodys):
            missing = await failure(
                suite.images.GetImage(image_pb2.GetImageRequest(image_id=image_id), metadata=metadata)
            )
            assert missing.text == f"image.image {image_id} was not found"
            download = image_pb2.DownloadImageRequest(image_id=image_id)
            assert (await failure(suite.images.DownloadImage(download, metadata=metadata))).what[
                0
            ] == "NOT_FOUND"
    deletion = suite.images.DeleteImage(
        image_pb2.DeleteImageRequest(image_id=image.image_id), metadata=ben.metadata
    )
    assert (await failure(deletion)).what[0] == "NOT_FOUND"
    await downloaded(suite, image.image_id, ana.metadata)


async def test_lists_are_the_callers_own_and_page_to_their_end(
    suite: Served, ana: Person, ben: Person
) -> None:
    images = [await made(suite, ana, f"cat {index}") for index in range(5)]
    await made(suite, ben)
    seen: list[str] = []
    request = image_pb2.ListImagesRequest(page_size=2)
    while True:
        page = await suite.images.ListImages(request, metadata=ana.metadata)
        assert page.total_size == 5
        seen += [image.image_id for image in page.images]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == [image.image_id for image in reversed(images)]
    skipped = await suite.images.ListImages(image_pb2.ListImagesRequest(skip=4), metadata=ana.metadata)
    assert [image.prompt for image in skipped.images] == ["cat 0"]
    foreign = image_pb2.ListImagesRequest(page_size=2, page_token=request.page_token)
    assert (await failure(suite.images.ListImages(foreign, metadata=ben.metadata))).what == (
        "INVALID_ARGUMENT",
        "INVALID_PAGE_TOKEN",
    )
    others = image_pb2.ListImagesRequest(user_id=ana.user_id)
    assert (await failure(suite.images.ListImages(others, metadata=ben.metadata))).what == (
        "PERMISSION_DENIED",
        "ROLE_REQUIRED",
    )


async def test_administrators_see_everybodys(suite: Served, ana: Person) -> None:
    admin = await suite.administrator()
    image, anonymous = await made(suite, ana), await made(suite, None)
    everybodys = await suite.images.AdminListImages(
        image_pb2.AdminListImagesRequest(page_size=2), metadata=admin
    )
    assert [one.image_id for one in everybodys.images] == [anonymous.image_id, image.image_id]
    assert everybodys.total_size >= 2
    anas = await suite.images.AdminListImages(
        image_pb2.AdminListImagesRequest(user_id=ana.user_id), metadata=admin
    )
    assert (anas.total_size, anas.images[0].image_id) == (1, image.image_id)
    named = await suite.images.ListImages(image_pb2.ListImagesRequest(user_id=ana.user_id), metadata=admin)
    assert named.total_size == 1
    await downloaded(suite, image.image_id, admin)


async def test_a_deleted_image_is_gone_with_its_objects_and_its_line(suite: Served, ana: Person) -> None:
    image, kept = await made(suite, ana), await made(suite, ana)
    day = image.create_time.ToDatetime().strftime("%Y/%m/%d")
    request = image_pb2.DeleteImageRequest(image_id=image.image_id)
    await suite.images.DeleteImage(request, metadata=ana.metadata)
    assert (await failure(suite.images.DeleteImage(request, metadata=ana.metadata))).what[0] == "NOT_FOUND"

    async def gone() -> bool:
        return not [key for key in objects(suite) if image.image_id in key]

    await until(gone)
    history = objects(suite)[f"users/{ana.user_id}/image/history/{day}.jsonl"].read_bytes()
    assert image.image_id.encode() not in history
    assert kept.image_id.encode() in history


async def test_a_request_id_finds_the_images_that_it_made(suite: Served, ana: Person, ben: Person) -> None:
    request = asked(request_id=str(uuid.uuid4()), count=2)
    first, again = await asyncio.gather(
        *(suite.images.GenerateImage(request, metadata=ana.metadata) for _ in range(2))
    )
    assert first == again
    assert [image.metadata.index for image in first.images] == [0, 1]
    other = asked("a dog", request_id=request.request_id)
    assert (await failure(suite.images.GenerateImage(other, metadata=ana.metadata))).what == (
        "ALREADY_EXISTS",
        "REQUEST_ID_REUSED",
    )
    bens = await suite.images.GenerateImage(request, metadata=ben.metadata)
    assert bens.images[0].image_id != first.images[0].image_id


async def test_a_size_a_style_and_a_model_that_are_none_are_told_with_those_that_are(
    suite: Served, ana: Person
) -> None:
    for changes, field, known in (
        ({"size": "300x300"}, "size", "512x512"),
        ({"style": "cubist"}, "style", "watercolor"),
        ({"count": 11}, "count", "10"),
        ({"negative_prompt": "dogs"}, "negative_prompt", "leave it out"),
        ({"prompt": "\0"}, "prompt", "NUL"),
    ):
        refused = await failure(suite.images.GenerateImage(asked(**changes), metadata=ana.metadata))
        assert refused.code.name == "INVALID_ARGUMENT"
        assert refused.fields == (field,)
        assert known in refused.text or field == "count"
    missing = await failure(suite.images.GenerateImage(asked(model="dall-e-9"), metadata=ana.metadata))
    assert missing.what == ("NOT_FOUND", "MODEL_NOT_FOUND")
    unready = await failure(suite.images.GenerateImage(asked(model="flux"), metadata=ana.metadata))
    assert unready.what == ("FAILED_PRECONDITION", "MODEL_NOT_READY")
    assert "POLLINATIONS_API_URL" in unready.text


async def test_the_catalog_says_what_is_ready_and_what_is_free(suite: Served) -> None:
    answer = await suite.images.ListModels(image_pb2.ListModelsRequest())
    assert answer.default_model == answer.models[0].name == "procedural"
    assert answer.anonymous_default_model == "procedural"
    assert list(answer.models[0].anonymous_sizes) == ["512x512", "256x256"]
    flux = next(model for model in answer.models if model.name == "flux")
    assert not flux.ready
    assert "POLLINATIONS_API_URL" in flux.not_ready_reason


async def test_the_sums_are_those_of_the_meter(suite: Served, ana: Person) -> None:
    await made(suite, ana)
    await suite.images.GenerateImage(asked(count=3), metadata=ana.metadata)
    request = image_pb2.SummarizeUsageRequest()
    request.start_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=5))
    request.end_time.FromDatetime(datetime.now(UTC) + timedelta(minutes=5))
    service = ServiceTokens(SECRET, "analytics").metadata()
    answer = await suite.images.SummarizeUsage(request, metadata=service)
    (summary,) = (one for one in answer.summaries if one.user_id == ana.user_id)
    assert (summary.model, summary.status, summary.event_count) == (
        "procedural",
        usage_pb2.USAGE_STATUS_SUCCESS,
        2,
    )
    assert [(one.unit, one.amount) for one in summary.quantities] == [(usage_pb2.UNIT_IMAGES, 4)]
    # Nothing takes them away here: those that are told once more wait already, each once.
    rows = await suite.rows("select payload from image.outbox where user_id = %s", ana.user_id)
    events = [usage_pb2.UsageEvent.FromString(bytes(row[0])) for row in rows]
    assert [event.variant for event in events] == ["256x256"] * 2
    again = image_pb2.RedeliverUsageRequest(start_time=request.start_time, end_time=request.end_time)
    assert (await suite.images.RedeliverUsage(again, metadata=service)).event_count == 0


async def test_the_history_has_a_line_for_each_image(suite: Served, ana: Person) -> None:
    images = await asyncio.gather(*(made(suite, ana, f"cat {index}") for index in range(10)))
    day = images[0].create_time.ToDatetime().strftime("%Y/%m/%d")
    text = objects(suite)[f"users/{ana.user_id}/image/history/{day}.jsonl"].read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(image.image_id for image in images)
    assert {line["s3_key"] for line in lines} == {image.object_key for image in images}
