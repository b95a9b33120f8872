"""What an images API of OpenAI's kind may answer: images in base64 or by their addresses, and much that is neither."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace

import pytest

from services.capabilities.upstream.errors import (
    ProviderProtocol,
    ProviderUnavailable,
)
from services.image.errors import ImageUnusable
from services.image.model import Size
from tests.fakes.image_codecs import picture
from tests.fakes.image_providing import CALL, failure, made, providing
from tests.fakes.image_upstream import (
    image_upstream,
    images,
    named,
    redirects,
    says,
    sends,
)


async def test_an_image_by_its_address_is_fetched_where_that_is_allowed() -> None:
    call = replace(CALL, seed=None, count=2)
    async with image_upstream() as upstream, image_upstream() as store:
        # A server may keep its images itself, or on others: its operator names them.
        upstream.answers(named(upstream.origin + "/1", store.origin + "/2"), images())
        origins = (upstream.origin, store.origin)
        async with providing("openai", upstream.at("openai"), image_origins=origins) as provider:
            found = await made(provider, call)
        assert [one.data for one in found] == [picture(Size(8, 8), b"\0\1\2")] * 2
        assert "authorization" not in store.asked[0].headers


@pytest.mark.parametrize(
    "path", ["http://localhost:{port}/x", "file:///etc/passwd", "http://169.254.169.254/"]
)
async def test_an_address_that_is_not_public_is_not_fetched(path: str) -> None:
    async with image_upstream() as store:
        url = path.format(port=store.origin.rpartition(":")[2])
        error, _ = await failure("openai", named(url, url), call=replace(CALL, seed=None))
        assert store.asked == []
    assert (type(error), error.metadata["detail"]) == (ImageUnusable, "address")


async def test_an_allowed_address_that_redirects_to_one_near_is_not_followed() -> None:
    async with image_upstream() as near, image_upstream() as store:
        store.answers(redirects(near.origin + "/secret"))
        error, _ = await failure(
            "openai", named(store.origin), call=replace(CALL, count=1), image_origins=(store.origin,)
        )
        assert near.asked == []
    assert (type(error), error.metadata["detail"]) == (ImageUnusable, "address")


async def test_an_address_that_has_nothing_may_be_asked_again() -> None:
    async with image_upstream() as store:
        store.answers(says(404))
        error, _ = await failure(
            "openai", named(store.origin), call=replace(CALL, count=1), image_origins=(store.origin,)
        )
    assert type(error) is ProviderUnavailable


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[]",
        b'{"data": null}',
        b'{"data": [{"b64_json": 5}, {}]}',
        b'{"data": [{}, {}]}',
        b'{"data": [{"b64_json": "iVBO"}]}',
        b'{"data": [{"b64_json": "no base64!"}, {"b64_json": "iVBO"}]}',
        b'{"data": [{"b64_json": "iVB"}, {"b64_json": "iVBO"}]}',
        b"[" * 100_000,
    ],
)
async def test_what_is_no_list_of_as_many_images_is_no_answer(answer: bytes) -> None:
    error, _ = await failure("openai", says(200, answer), call=replace(CALL, seed=None))
    assert type(error) is ProviderProtocol


async def test_large_images_come_whole_and_one_that_is_too_large_by_a_byte_does_not() -> None:
    limit = 500_000
    data = b"\x89" + struct.pack(">I", 7) * (limit // 4)
    whole, larger = data[:limit], data[:limit] + b"\0"
    async with image_upstream() as upstream:
        upstream.answers(sends(whole))
        async with providing("openai", upstream.at("openai"), limit=limit) as provider:
            assert [one.data for one in await made(provider, CALL)] == [whole, whole]
    entries = [{"b64_json": base64.b64encode(larger).decode()}]
    error, _ = await failure("openai", says(200, {"data": entries}), call=replace(CALL, count=1), limit=limit)
    assert (type(error), error.metadata["detail"]) == (ImageUnusable, "bytes")
