"""Images, as both faces of the client make, download and list them; what becomes of a download when its connection breaks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.image.v1 import image_pb2
from hypothesis import given
from hypothesis import strategies as st

from antiphon_client import AsyncClient, Client, Retries, _image_calls
from antiphon_client._calls import Method
from antiphon_client._downloading import DownloadReader
from antiphon_client.errors import (
    AntiphonError,
    BrokenDownload,
    NotFound,
    ResourceExhausted,
    Unreachable,
)
from tests.scripted_images import OWNER_TOKEN, ScriptedImages, bytes_of, pieces
from tests.scripted_server import BROKEN, failing

QUICK = Retries(first_delay=0.001, max_delay=0.05, resume_attempts=3)
CAT = bytes_of("a cat")


@pytest.fixture
def server() -> Iterator[ScriptedImages]:
    with ScriptedImages() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedImages) -> Iterator[Client]:
    with Client(server.address, token="ak_1_secret", retries=QUICK) as made:
        yield made


def sent(server: ScriptedImages, method: str) -> Any:
    return server.of(method)[-1].request


def files(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in folder.iterdir()]


def test_a_lost_answer_is_asked_for_again_under_the_same_id(client: Client, server: ScriptedImages) -> None:
    server.fail("GenerateImage", BROKEN)
    (image,) = client.generate_images("a cat", size="256x256", seed=0)
    assert (image.prompt, image.size) == ("a cat", "256x256")
    first, second = (seen.request for seen in server.of("GenerateImage"))
    assert first == second
    assert isinstance(first, image_pb2.GenerateImageRequest)
    assert first.request_id
    assert first.HasField("seed")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_REFUSED"),
        # The server has tried again itself, and each try may have its price.
        (grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_RATE_LIMITED"),
        (grpc.StatusCode.UNAVAILABLE, "IMAGE_UNUSABLE"),
        (grpc.StatusCode.UNAVAILABLE, "IMAGES_NOT_STORED"),
    ],
)
def test_what_would_fail_or_cost_again_is_not_repeated(
    client: Client, server: ScriptedImages, code: grpc.StatusCode, reason: str
) -> None:
    server.fail("GenerateImage", failing(code, reason, retry_after=0.001))
    with pytest.raises(AntiphonError):
        client.generate_images("a cat", request_id="0198c5a2-0000-4000-8000-000000000001", count=2)
    assert len(server.calls) == 1
    assert sent(server, "GenerateImage").request_id == "0198c5a2-0000-4000-8000-000000000001"


@pytest.mark.parametrize("reason", ["SHUTTING_DOWN", "OVERLOADED", "UNAVAILABLE"])
def test_what_the_server_itself_can_not_do_now_is_repeated(
    client: Client, server: ScriptedImages, reason: str
) -> None:
    server.fail("GenerateImage", failing(grpc.StatusCode.UNAVAILABLE, reason))
    assert client.generate_images("a cat")
    assert len(server.calls) == 2


def test_who_is_limited_in_the_end_learns_what_went_wrong_first(
    client: Client, server: ScriptedImages
) -> None:
    away = failing(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "the database is away")
    limited = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", "too many calls", retry_after=60)
    server.fail("GenerateImage", away, limited)
    with pytest.raises(ResourceExhausted) as caught:
        client.generate_images("a cat")
    assert caught.value.earlier is not None
    assert caught.value.earlier.message == "the database is away"
    assert "the database is away" in caught.value.__notes__[0]


def test_a_size_is_a_text(client: Client, server: ScriptedImages) -> None:
    with pytest.raises(TypeError, match="512x512"):
        client.generate_images("a cat", size=(5, 5))  # type: ignore[arg-type]
    assert not server.calls


def test_a_folder_that_is_missing_is_named_before_anything_is_asked_for(
    client: Client, server: ScriptedImages, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        client.save_image("any", tmp_path / "none" / "cat.png")
    assert caught.value.filename == str(tmp_path / "none")
    assert not server.calls


def test_a_download_is_whole_and_says_what_it_is(client: Client, server: ScriptedImages) -> None:
    image_id = server.add_image("a cat").image_id
    with client.download_image(image_id, image_format=image_pb2.IMAGE_FORMAT_WEBP, thumbnail=True) as chunks:
        assert b"".join(chunks) == bytes_of("a cat", "WEBP", thumbnail=True)
    assert (chunks.content_type, chunks.total_bytes) == ("image/png", len(bytes_of("a cat", "WEBP", True)))
    assert len(chunks.sha256) == 64


def test_a_download_goes_on_where_its_connection_broke(client: Client, server: ScriptedImages) -> None:
    whole = pieces(CAT)
    # The third one ends in order, but before the digest has come; the last one has other chunks.
    server.downloads += ([BROKEN], [*whole[:2], BROKEN], whole[:3], pieces(CAT, 50))
    assert b"".join(client.download_image("any")) == CAT
    assert len(server.calls) == 4


def test_a_download_that_stays_broken_says_how_far_it_came(client: Client, server: ScriptedImages) -> None:
    server.downloads += [[*pieces(CAT)[:2], BROKEN]] * 5
    chunks = client.download_image("any")
    with pytest.raises(Unreachable) as caught:
        list(chunks)
    assert caught.value.__notes__ == [f"The download broke off after 128 of {len(CAT)} bytes."]
    assert list(chunks) == []


@pytest.mark.parametrize("fault", ["another digest", "too little", "too much", "another image"])
def test_what_is_not_the_image_is_an_error(client: Client, server: ScriptedImages, fault: str) -> None:
    sends: list[Any] = [pieces(CAT)]
    if fault == "another digest":
        sends[0][-1].sha256 = "0" * 64
    elif fault == "too little":
        sends[0].pop(1)
    elif fault == "too much":
        sends[0].insert(1, sends[0][1])
    else:
        sends = [[*sends[0][:2], BROKEN], pieces(CAT.swapcase())]
    server.downloads += sends
    with pytest.raises(BrokenDownload):
        list(client.download_image("any"))
    assert len(server.calls) == len(sends)


@given(st.binary(min_size=1, max_size=300), st.lists(st.tuples(st.integers(1, 99), st.integers(0, 300))))
def test_however_often_it_breaks_every_byte_comes_once(data: bytes, broken: list[tuple[int, int]]) -> None:
    call = _image_calls.download_image("any", image_pb2.IMAGE_FORMAT_PNG, False, "")
    reader = DownloadReader(call, "image any")
    taken = b""
    for length, stops_at in broken:
        reader.next_call()
        for each in pieces(data, length)[:-1][:stops_at]:
            taken += reader.take(each) or b""
    reader.next_call()
    for each in pieces(data, 64):
        taken += reader.take(each) or b""
    assert taken == data
    assert reader.ended


def test_a_saved_image_is_there_whole_or_not_at_all(
    client: Client, server: ScriptedImages, tmp_path: Path
) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(b"an older one")
    server.downloads.append([*pieces(CAT)[:-1], pieces(b"x")[-1]])
    with pytest.raises(BrokenDownload):
        client.save_image("any", file)
    assert files(tmp_path) == [b"an older one"]
    client.save_image(server.add_image("a cat").image_id, file)
    assert files(tmp_path) == [CAT]


def test_an_anonymous_caller_needs_the_token(server: ScriptedImages) -> None:
    with Client(server.address, retries=QUICK) as client:
        (image,) = client.generate_images("a cat")
        assert client.get_image(image.image_id, owner_token=image.owner_token).prompt == "a cat"
        assert b"".join(client.download_image(image.image_id, owner_token=OWNER_TOKEN)) == CAT
        with pytest.raises(NotFound):
            list(client.download_image(image.image_id))


def test_images_are_listed_and_removed(client: Client, server: ScriptedImages) -> None:
    for number in range(5):
        server.add_image(str(number))
    assert [each.prompt for each in client.list_images(page_size=2, skip=1)] == list("3210")
    assert [each.prompt for each in client.list_all_images(page_size=3)] == list("43210")
    server.loses.add("DeleteImage")
    client.delete_image(server.images[0].image_id)
    assert len(server.images) == 4
    with pytest.raises(NotFound):
        client.delete_image("0198c5a2-0000-7000-8000-0000000000ff")


async def test_the_asynchronous_client_does_the_same(server: ScriptedImages, tmp_path: Path) -> None:
    file = tmp_path / "cat.png"
    async with AsyncClient(server.address, token="ak_1_secret", retries=QUICK) as client:
        image, _ = await client.generate_images("a cat", count=2, negative_prompt="a dog", style="comic")
        assert (await client.get_image(image.image_id)).prompt == "a cat"
        server.downloads.append([*pieces(CAT)[:2], BROKEN])
        async with client.download_image(image.image_id) as chunks:
            assert b"".join([each async for each in chunks]) == CAT
        assert chunks.total_bytes == len(CAT)
        server.downloads.append([*pieces(CAT)[:-1], pieces(b"x")[-1]])
        with pytest.raises(BrokenDownload):
            await client.save_image(image.image_id, file)
        assert files(tmp_path) == []
        await client.save_image(image.image_id, file)
        assert files(tmp_path) == [CAT]
        assert len([each async for each in client.list_images(page_size=1)]) == 2
        assert len([each async for each in client.list_all_images(user_id="")]) == 2
        await client.delete_image(image.image_id)
        server.image_models.default_model = "procedural"
        assert (await client.list_image_models()).default_model == "procedural"


def test_every_rpc_of_image_for_people_has_a_verb() -> None:
    paths = {
        method.path.rpartition("/")[2] for method in vars(_image_calls).values() if isinstance(method, Method)
    }
    service = image_pb2.DESCRIPTOR.services_by_name["ImageService"]
    assert paths == {method.name for method in service.methods} - {"SummarizeUsage", "RedeliverUsage"}
