"""What providers behind HTTP promise, each on a server that keeps its protocol, and on servers that keep nothing."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from dataclasses import replace

import pytest

from services.capabilities.upstream.errors import (
    ProviderCredential,
    ProviderFailure,
    ProviderModelGone,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.image.errors import ImageUnusable
from services.image.providers.catalog_file import ResponseFormat
from services.image.providers.procedural import ProceduralImages
from tests.fakes.chat_play import until
from tests.fakes.image_codecs import PlainCodecs, picture
from tests.fakes.image_providing import CALL, KEY, every_protocol, failure, made, providing
from tests.fakes.image_upstream import (
    Asked,
    Play,
    breaks_off,
    busy,
    claims,
    drips,
    floods,
    hangs,
    image_upstream,
    images,
    redirects,
    says,
    sends,
)


@every_protocol
async def test_as_many_images_come_as_were_asked_for(protocol: str) -> None:
    async with image_upstream() as upstream, providing(protocol, upstream.at(protocol)) as provider:
        found = await made(provider, CALL)
    assert [one.data for one in found] == [picture(CALL.size, bytes([seed, 1, 2])) for seed in (7, 8)]
    assert {one.headers["authorization"] for one in upstream.asked} == {f"Bearer {KEY}"}
    assert {one.headers["accept-encoding"] for one in upstream.asked} == {"identity"}
    assert [one.seed for one in upstream.asked] == [7, 8]


async def test_what_openai_is_asked() -> None:
    call = replace(CALL, seed=None, negative_prompt="", count=3)
    async with image_upstream() as upstream:
        upstream.answers(images(revised="a cat,\n and a dog\0"))
        async with providing("openai", upstream.at("openai"), quality="high") as provider:
            found = await made(provider, call)
    assert [one.revised_prompt for one in found] == ["a cat, and a dog"] * 3
    asked = Asked(
        "POST",
        "/v1/images/generations",
        upstream.asked[0].headers,
        {
            "model": "up/stream",
            "prompt": call.prompt,
            "n": 3,
            "size": "16x8",
            "response_format": "b64_json",
            "quality": "high",
        },
    )
    assert upstream.asked == [asked]


async def test_a_model_that_refuses_a_response_format_is_not_told_one() -> None:
    async with (
        image_upstream() as upstream,
        providing("openai", upstream.at("openai"), response_format=ResponseFormat.NONE) as provider,
    ):
        await made(provider, replace(CALL, seed=None, negative_prompt="", count=1))
    assert upstream.asked[0].content.keys() == {"model", "prompt", "n", "size"}


async def test_what_pollinations_is_asked() -> None:
    async with (
        image_upstream() as upstream,
        providing("pollinations", upstream.at("pollinations")) as provider,
    ):
        await made(provider, replace(CALL, count=1))
        await made(provider, replace(CALL, prompt="..", count=1))
        with pytest.raises(ProviderRefused, match="too long"):
            await made(provider, replace(CALL, prompt="☂" * 4000))
    first, second = upstream.asked
    assert (first.method, first.path) == ("GET", f"/prompt/{CALL.prompt}")
    assert first.content == {
        "model": "up/stream",
        "width": "16",
        "height": "8",
        "nologo": "true",
        "private": "true",
        "seed": "7",
        "negative_prompt": "dogs",
    }
    assert second.path == "/prompt/.. "


async def test_what_hugging_face_is_asked() -> None:
    async with image_upstream() as upstream, providing("huggingface", upstream.at("huggingface")) as provider:
        await made(provider, replace(CALL, count=1))
    assert (upstream.asked[0].method, upstream.asked[0].path) == ("POST", "/hf/models/up/stream")
    assert upstream.asked[0].content == {
        "inputs": CALL.prompt,
        "parameters": {"width": 16, "height": 8, "seed": 7, "negative_prompt": "dogs"},
    }


async def test_procedural_draws_the_same_again_and_another_for_each_seed() -> None:
    provider = ProceduralImages(PlainCodecs())
    found = await made(provider, replace(CALL, count=3))
    assert len({one.data for one in found}) == 3
    assert await made(provider, replace(CALL, seed=8, count=2)) == found[1:]


@every_protocol
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRefused),
        (401, ProviderCredential),
        (402, ProviderCredential),
        (403, ProviderCredential),
        (404, ProviderModelGone),
        (422, ProviderRefused),
        (429, ProviderRateLimited),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
    ],
)
async def test_a_status_is_told_as_what_it_means(
    protocol: str, status: int, kind: type[ProviderFailure]
) -> None:
    body = {"error": {"message": f"no such thing for {KEY}"}}
    error, upstream = await failure(protocol, says(status, body, x_request_id=f"up-1 {KEY}"))
    assert type(error) is kind
    assert error.metadata["http_status"] == str(status)
    assert (error.said, error.upstream_request_id) == ("no such thing for …", "up-1 …")
    assert ("no such thing" in error.message) is (kind is ProviderRefused)
    assert len(upstream.asked) == 1


@every_protocol
@pytest.mark.parametrize("status", [429, 503])
async def test_the_pause_that_is_asked_for_is_told(protocol: str, status: int) -> None:
    error, _ = await failure(protocol, busy(status, after="17"))
    assert (error.asked_pause, error.retry_after) == (17, 17)
    error, _ = await failure(protocol, busy(status, after=None))
    assert (error.asked_pause, error.retry_after) == (None, 5)


async def test_a_model_that_is_being_loaded_is_told_with_its_time() -> None:
    error, _ = await failure("huggingface", says(503, {"error": "loading", "estimated_time": 20.5}))
    assert (type(error), error.asked_pause, error.said) == (ProviderUnavailable, 20.5, "loading")


async def test_a_quota_that_is_used_up_is_for_the_operator() -> None:
    error, _ = await failure("openai", says(429, {"error": {"code": "insufficient_quota"}}))
    assert type(error) is ProviderCredential


@every_protocol
@pytest.mark.parametrize("play", [claims(2 * 1024**3), floods()], ids=["claims", "floods"])
async def test_what_is_too_large_is_not_read(protocol: str, play: Play) -> None:
    tracemalloc.start()
    try:
        error, _ = await failure(protocol, play, closes=1)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (type(error), error.metadata["detail"]) == (ImageUnusable, "bytes")
    # What is allowed for the answer, some copies of it, and the code that runs.
    assert most < 4_000_000


@every_protocol
@pytest.mark.parametrize("play", [hangs(), drips()], ids=["silent", "drips"])
async def test_an_attempt_ends_in_time_and_its_socket_with_it(protocol: str, play: Play) -> None:
    error, _ = await failure(protocol, play, total=0.1, closes=1)
    assert (type(error), error.metadata["stage"]) == (ProviderTimeout, "total")


@every_protocol
async def test_an_endpoint_that_lets_nobody_in_is_told_as_such(protocol: str) -> None:
    # A backlog of none takes one, and leaves the next ones waiting.
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
    ):
        base_url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with providing(protocol, base_url, connect=0.1) as provider:
            with pytest.raises(ProviderTimeout) as late:
                await made(provider, CALL)
    assert late.value.metadata["stage"] == "connect"


@every_protocol
async def test_an_endpoint_that_is_not_there_or_breaks_off_may_be_asked_again(protocol: str) -> None:
    error, _ = await failure(protocol, breaks_off())
    assert type(error) is ProviderUnavailable
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with providing(protocol, f"http://127.0.0.1:{unused.getsockname()[1]}") as provider:
            with pytest.raises(ProviderUnavailable):
                await made(provider, CALL)


@every_protocol
@pytest.mark.parametrize(
    "data",
    [b"", b"<html>we are sorry</html>", b"\n<svg xmlns='x'/>", b'{"error": "no"}'],
    ids=["empty", "html", "svg", "json"],
)
async def test_a_text_in_the_place_of_an_image_is_no_image(protocol: str, data: bytes) -> None:
    error, _ = await failure(protocol, sends(data))
    assert type(error) is ProviderProtocol


@every_protocol
async def test_what_an_image_claims_to_be_is_not_believed(protocol: str) -> None:
    data = picture(CALL.size)[:-20]
    async with image_upstream() as upstream:
        upstream.answers(sends(data, kind="text/html"))
        async with providing(protocol, upstream.at(protocol)) as provider:
            # The codecs find out what it is.
            assert (await made(provider, CALL))[0].data == data


@every_protocol
async def test_nothing_is_unpacked(protocol: str) -> None:
    error, _ = await failure(protocol, says(200, b"\x1f\x8b" * 9, Content_Encoding="gzip"))
    assert type(error) in (ProviderProtocol, ProviderUnavailable)


@every_protocol
async def test_a_redirect_leads_nowhere_near(protocol: str) -> None:
    async with image_upstream() as inner:
        error, _ = await failure(protocol, redirects(inner.origin + "/admin"))
        assert inner.asked == []
    if protocol == "pollinations":
        assert (type(error), error.metadata["detail"]) == (ImageUnusable, "address")
    else:
        assert type(error) is ProviderModelGone


@every_protocol
async def test_whoever_cancels_has_the_socket_closed_at_once(protocol: str) -> None:
    async with image_upstream() as upstream:
        upstream.answers(hangs(after_headers=True))
        async with providing(protocol, upstream.at(protocol)) as provider:
            task = asyncio.create_task(made(provider, CALL))
            await until(lambda: bool(upstream.asked))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: upstream.closed == 1)
