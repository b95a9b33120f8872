"""Images of real HTTP upstreams through the whole suite: good ones are kept, hostile ones end in an error that tells, and leave nothing."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import uuid
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from antiphon.image.v1 import image_pb2
from PIL import Image as Pixels

from tests.fakes.image_upstream import (
    ImageUpstream,
    busy,
    claims,
    drips,
    floods,
    hangs,
    image_upstream,
    images,
    named,
    redirects,
    says,
    sends,
)
from tests.fakes.served_suite import Person, Served, failure, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

MODELS = """
[styles]
anime = "anime style"

[providers.openai-like]
protocol = "openai"
base_url = "{openai}"

[providers.pollinations]
protocol = "pollinations"
base_url = "{pollinations}"

[providers.huggingface]
protocol = "huggingface"
base_url = "{huggingface}"

[[models]]
name = "paints"
provider = "openai-like"
sizes = ["256x256", "512x512"]
maximum_count = 4

[[models]]
name = "flux"
provider = "pollinations"
sizes = ["256x256"]
seed = true

[[models]]
name = "diffusion"
provider = "huggingface"
sizes = ["256x256"]
seed = true
negative_prompt = true
"""
ALL = ("paints", "flux", "diffusion")


def bomb(side: int) -> bytes:
    """A PNG that says that it is so wide and high, and has hardly a byte."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def truncated() -> bytes:
    """The first half of a PNG."""
    noise = Pixels.effect_noise((256, 256), 80)
    with io.BytesIO() as file:
        noise.save(file, "PNG")
        return file.getvalue()[: file.tell() // 2]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[ImageUpstream]:
    async with image_upstream() as made:
        yield made


@pytest.fixture(scope="module")
def suite_environ(upstream: ImageUpstream, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("catalog") / "image-models.toml"
    addresses = {name: upstream.at(name) for name in ("openai", "pollinations", "huggingface")}
    path.write_text(MODELS.format(**addresses))
    return {
        "ANTIPHON_IMAGE__MODELS_FILE": str(path),
        "ANTIPHON_IMAGE__TIMEOUT": "1s",
        "ANTIPHON_IMAGE__RETRIES": "1",
        "ANTIPHON_IMAGE__MAX_IMAGE_BYTES": "1MiB",
    }


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return ("auth", "image")


def generate(suite: Served, person: Person, model: str, **more: Any) -> Any:
    request = image_pb2.GenerateImageRequest(prompt="a cat", model=model, **more)
    return suite.images.GenerateImage(request, metadata=person.metadata)


def files(root: Path) -> list[str]:
    """All files of a folder."""
    return [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]


async def nothing_kept(suite: Served, person: Person) -> None:
    """Neither in the index nor in the folder is anything of a person who has made no image yet."""
    assert await suite.rows("select 1 from image.images where user_id = %s", person.user_id) == []
    ids = await suite.rows(
        "select unnest(image_ids)::text from image.generations where user_id = %s", person.user_id
    )
    keys = files(suite.suite.settings.data_dir / "blobs")
    assert not [key for key in keys for (image_id,) in ids if image_id in key]
    assert not [key for key in keys if person.user_id in key]


@pytest.mark.parametrize("model", ALL)
async def test_what_an_upstream_makes_is_kept(
    suite: Served, upstream: ImageUpstream, ana: Person, model: str
) -> None:
    upstream.answers(images("a fine cat"))
    (image,) = (await generate(suite, ana, model, style="anime")).images
    assert (image.model, image.metadata.width) == (model, 256)
    assert ("anime style" in str(upstream.asked[-1])) is True
    if model == "paints":
        assert image.metadata.revised_prompt == "a fine cat"
        assert not image.metadata.HasField("seed")
    else:
        assert upstream.asked[-1].seed == image.metadata.seed


async def test_a_busy_upstream_is_asked_again(suite: Served, upstream: ImageUpstream, ana: Person) -> None:
    upstream.answers(busy(429, "0"), images())
    assert len((await generate(suite, ana, "paints", count=2)).images) == 2


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize(
    ("play", "code", "reason", "detail"),
    [
        (sends(truncated()), "UNAVAILABLE", "IMAGE_UNUSABLE", "truncated"),
        (sends(bomb(20_000)), "UNAVAILABLE", "IMAGE_UNUSABLE", "pixels"),
        (sends(SVG, "image/svg+xml"), "UNAVAILABLE", "PROVIDER_PROTOCOL", ""),
        (claims(2 * 1024**3), "UNAVAILABLE", "", ""),
        (floods(), "UNAVAILABLE", "", ""),
        (drips(), "DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT", ""),
        (hangs(), "DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT", ""),
        (says(200, b"<html>gone</html>", "text/html"), "UNAVAILABLE", "", ""),
        (busy(503, "0"), "UNAVAILABLE", "PROVIDER_UNAVAILABLE", ""),
        (says(401), "FAILED_PRECONDITION", "PROVIDER_CREDENTIAL", ""),
        (redirects("http://127.0.0.1:1/secret"), "", "", ""),
    ],
    ids=["truncated", "bomb", "svg", "claims", "floods", "drips", "hangs", "html", "busy", "key", "redirect"],
)
async def test_a_hostile_answer_ends_in_an_error_that_tells_and_leaves_nothing(
    suite: Served,
    upstream: ImageUpstream,
    ana: Person,
    model: str,
    play: Any,
    code: str,
    reason: str,
    detail: str,
) -> None:
    upstream.answers(play)
    failed = await failure(generate(suite, ana, model))
    assert failed.code.name == code or not code
    assert failed.reason == reason or not reason
    assert failed.reason in (
        "IMAGE_UNUSABLE",
        "PROVIDER_UNAVAILABLE",
        "PROVIDER_PROTOCOL",
        "PROVIDER_TIMEOUT",
        "PROVIDER_CREDENTIAL",
        # Nothing is at an address that leads elsewhere.
        "MODEL_NOT_READY",
    )
    assert failed.metadata["model"] == model
    assert failed.metadata.get("detail", "") == detail or not detail
    await nothing_kept(suite, ana)
    (event,) = await suite.rows("select event_reason from image.generations where user_id = %s", ana.user_id)
    assert event == (failed.reason,)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/cat.png", "http://169.254.169.254/latest", "file:///etc/passwd"]
)
async def test_an_address_that_is_not_public_is_not_fetched(
    suite: Served, upstream: ImageUpstream, ana: Person, url: str
) -> None:
    upstream.answers(named(url))
    failed = await failure(generate(suite, ana, "paints"))
    assert (failed.reason, failed.metadata["detail"]) == ("IMAGE_UNUSABLE", "address")
    await nothing_kept(suite, ana)


async def test_the_upstreams_own_address_is_not_public_either(
    suite: Served, upstream: ImageUpstream, ana: Person
) -> None:
    upstream.answers(named(f"{upstream.origin}/cat.png"))
    before = len(upstream.asked)
    failed = await failure(generate(suite, ana, "paints"))
    assert (failed.reason, failed.metadata["detail"]) == ("IMAGE_UNUSABLE", "address")
    assert len(upstream.asked) == before + 1


@pytest.mark.parametrize("model", ALL)
async def test_a_caller_that_goes_away_has_the_upstreams_socket_closed(
    suite: Served, upstream: ImageUpstream, ana: Person, model: str
) -> None:
    upstream.answers(hangs())
    asked, closed = len(upstream.asked), upstream.closed
    call = generate(suite, ana, model, request_id=str(uuid.uuid4()))

    async def has_come() -> bool:
        return len(upstream.asked) > asked

    answer = asyncio.ensure_future(call)
    await until(has_come)
    answer.cancel()

    async def is_closed() -> bool:
        return upstream.closed > closed

    await until(is_closed)

    async def is_recorded() -> bool:
        rows = await suite.rows("select state from image.generations where user_id = %s", ana.user_id)
        return rows == [("cancelled",)]

    await until(is_recorded)
    await nothing_kept(suite, ana)
