"""`image`: what is made and written where, what is listed, and what is refused before anything is asked for."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.image.v1 import image_pb2
from typer.testing import CliRunner, Result

from services.cli import image_generate
from services.cli.program import program
from tests.e2e.suite_process import environment
from tests.e2e.terminal import Terminal
from tests.scripted_images import OWNER_TOKEN, ScriptedImages, bytes_of, pieces
from tests.scripted_server import BROKEN, failing, until_the_caller_leaves

Antiphon = Callable[..., Result]
GENERATE = ("image", "generate", "a", "cat")
SCOPE = failing(grpc.StatusCode.PERMISSION_DENIED, "SCOPE_REQUIRED", "no more", scope="image.read")
STRANGER = "0198c5a2-0000-7000-8000-0000000000ff"


@pytest.fixture
def server() -> Iterator[ScriptedImages]:
    with ScriptedImages() as scripted:
        yield scripted


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    made = tmp_path / "work"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def outside(server: ScriptedImages, tmp_path: Path) -> Mapping[str, str]:
    """What surrounds a process of the command line."""
    return environment(tmp_path) | {
        "ANTIPHON_SERVER": server.address,
        "ANTIPHON_TOKEN": "ak_abc_secret",
        "TZ": "UTC",
    }


@pytest.fixture
def antiphon(outside: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe."""
    for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN", "XDG_CONFIG_HOME", "TZ"):
        monkeypatch.setenv(name, outside[name])

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(program(list(arguments)), list(arguments), prog_name="antiphon")

    return run


def done(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()]


def refused(result: Result, *texts: str, status: int = 1) -> None:
    assert result.exit_code == status, result.stderr
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in result.stderr


def sent(server: ScriptedImages, method: str) -> Any:
    return server.of(method)[-1].request


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_an_image_is_made_as_asked_and_written(
    antiphon: Antiphon, server: ScriptedImages, folder: Path
) -> None:
    options = ("--size", "256X256", "--style", "watercolor", "--negative", "a dog", "--seed", "0")
    (row,) = done(antiphon(*GENERATE, *options, "--model", "flux", "-o", "cat.webp"))
    request = sent(server, "GenerateImage")
    assert (request.prompt, request.size, request.style) == ("a cat", "256x256", "watercolor")
    assert (request.negative_prompt, request.seed, request.model) == ("a dog", 0, "flux")
    assert row == [server.images[0].image_id, "256x256", "procedural", "42", "cat.webp"]
    assert names(folder) == ["cat.webp"]
    assert (folder / "cat.webp").read_bytes() == bytes_of("a cat", "WEBP")


def test_several_images_have_numbered_files(antiphon: Antiphon, server: ScriptedImages, folder: Path) -> None:
    told = json.loads(antiphon(*GENERATE, "-n", "3", "-o", "cat.jpg", "--json").stdout)
    assert [image["file"] for image in told["images"]] == ["cat-1.jpg", "cat-2.jpg", "cat-3.jpg"]
    assert names(folder) == ["cat-1.jpg", "cat-2.jpg", "cat-3.jpg"]
    assert sent(server, "DownloadImage").format == image_pb2.IMAGE_FORMAT_JPEG


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("-o", "cat.bmp"), 2, ".avif"),
        (("-o", "cat.jpg", "--format", "png"), 2, "cat.png"),
        (("-o", "cat", "--format", "jepg"), 2, "Did you mean jpeg?"),
        (("-o", "there.png"), 1, "--force"),
        (("-o", "cat.png", "-n", "2"), 1, "cat-2.png is there already"),
        (("-o", "nowhere/cat.png"), 1, "the folder nowhere is not there"),
        (("-o", "there.png/cat.png"), 1, "the folder there.png is no folder"),
        (("-o", "."), 2, "is a folder"),
        (("-o", "-", "-n", "2"), 2, "one image, not 2"),
        (("-o", "-", "--json"), 2, "exclude each other"),
        (("--format", "png"), 2, "-o"),
        (("--size", "512"), 2, "512x512"),
        (("-n", "11"), 2, "--count"),
        (("--seed", "-1"), 2, "--seed"),
    ],
)
def test_what_can_not_be_written_is_refused_before_it_costs_anything(
    antiphon: Antiphon,
    server: ScriptedImages,
    folder: Path,
    arguments: tuple[str, ...],
    status: int,
    told: str,
) -> None:
    (folder / "there.png").touch()
    (folder / "cat-2.png").touch()
    refused(antiphon(*GENERATE, *arguments), told, status=status)
    assert server.calls == []
    assert names(folder) == ["cat-2.png", "there.png"]


def test_a_file_is_replaced_where_that_is_asked_for(
    antiphon: Antiphon, server: ScriptedImages, folder: Path
) -> None:
    (folder / "cat.picture").touch()
    done(antiphon(*GENERATE, "-o", "cat.picture", "--format", "jpg", "--force"))
    assert (folder / "cat.picture").read_bytes() == bytes_of("a cat", "JPEG")


def test_standard_output_has_the_image_alone(antiphon: Antiphon, server: ScriptedImages) -> None:
    told = antiphon(*GENERATE, "-o", "-", "--format", "avif")
    assert (told.exit_code, told.stdout_bytes) == (0, bytes_of("a cat", "AVIF"))
    assert server.images[0].image_id in told.stderr


def test_an_image_without_a_file_can_be_fetched_later_without_an_account(
    antiphon: Antiphon, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.delenv("ANTIPHON_TOKEN")
    told = antiphon(*GENERATE)
    ((image_id, *_),) = done(told)
    command = f"antiphon image get {image_id} --owner-token {OWNER_TOKEN} -o image.png"
    assert command in told.stderr
    done(antiphon(*command.split()[1:]))
    assert (folder / "image.png").read_bytes() == bytes_of("a cat")
    alone = antiphon("image", "get", image_id)
    refused(alone, "there is no image", "--owner-token", "antiphon login")
    assert "image list" not in alone.stderr
    told = antiphon(*GENERATE, "-o", "cat.png")
    ((image_id, *_),) = done(told)
    assert f"antiphon image get {image_id} --owner-token {OWNER_TOKEN} -o cat.png" in told.stderr
    assert json.loads(antiphon(*GENERATE, "--json").stdout)["images"][0]["ownerToken"] == OWNER_TOKEN


def test_an_image_that_was_made_and_not_fetched_is_not_lost(
    antiphon: Antiphon, server: ScriptedImages, folder: Path
) -> None:
    server.downloads += [pieces(b"whole"), [*pieces(bytes_of("a cat"))[:2], SCOPE]]
    told = antiphon(*GENERATE, "-n", "3", "-o", "cat.png")
    third, second, first = (image.image_id for image in server.images)
    refused(told, "broke off after 128 bytes", f"image get {second} -o cat-2.png", f"{third} -o cat-3.png")
    assert [line.split("\t")[0] for line in told.stdout.splitlines()] == [first]
    assert names(folder) == ["cat-1.png"]
    server.fail("DownloadImage", SCOPE)
    told = antiphon(*GENERATE, "-o", "other.png", "--json")
    (image,) = json.loads(told.stdout)["images"]
    assert image["imageId"] in json.loads(told.stderr)["error"]["advice"]
    assert "file" not in image


def test_what_is_not_the_image_becomes_no_file(
    antiphon: Antiphon, server: ScriptedImages, folder: Path
) -> None:
    server.downloads.append([*pieces(bytes_of("a cat"))[:-1], pieces(b"another")[-1]])
    refused(antiphon("image", "get", STRANGER, "-o", "cat.png"), "SHA-256", "No file was made.")
    assert names(folder) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk_is_told(antiphon: Antiphon, outside: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "services.cli", *GENERATE, "-o", "-"]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command, env=dict(outside), stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 1
    assert b"standard output can't be written" in ended.stderr
    assert b"antiphon image get" in ended.stderr


@pytest.mark.parametrize(
    ("failure", "texts"),
    [
        (
            failing(
                grpc.StatusCode.INVALID_ARGUMENT,
                "VALIDATION_FAILED",
                "style: one of comic, oil",
                violations=[("style", "one of comic, oil")],
            ),
            ("--style: one of comic, oil",),
        ),
        (
            failing(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", model="fluxx"),
            ("there is no model fluxx", "`antiphon image models`"),
        ),
        (
            failing(
                grpc.StatusCode.FAILED_PRECONDITION,
                "MODEL_NOT_READY",
                "the model 'dall-e-3' is not ready: set OPENAI_API_KEY",
                detail="set OPENAI_API_KEY",
            ),
            ("is not ready: set OPENAI_API_KEY\n  `antiphon image models`",),
        ),
        (
            failing(
                grpc.StatusCode.UNAVAILABLE,
                "IMAGES_NOT_STORED",
                "the images were made and can't be stored now",
            ),
            ("object store",),
        ),
        (failing(grpc.StatusCode.UNIMPLEMENTED), ("--server IMAGE",)),
        (failing(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING"), ("antiphon login EMAIL",)),
    ],
)
def test_a_refusal_says_what_to_do(
    antiphon: Antiphon, server: ScriptedImages, folder: Path, failure: Any, texts: tuple[str, ...]
) -> None:
    server.fail("GenerateImage", failure)
    refused(antiphon(*GENERATE, "-o", "cat.png"), *texts)
    assert names(folder) == []


def test_an_address_that_is_not_fetched_is_for_the_operator(
    antiphon: Antiphon, server: ScriptedImages
) -> None:
    named = failing(grpc.StatusCode.UNAVAILABLE, "IMAGE_UNUSABLE", retry_after=1.0, detail="address")
    server.fail("GenerateImage", named)
    told = antiphon(*GENERATE)
    refused(told, "`image_origins`", "docs/image-models.md")
    assert "again" not in told.stderr


def test_a_limit_that_a_repetition_meets_does_not_hide_what_went_wrong(
    antiphon: Antiphon, server: ScriptedImages
) -> None:
    away = failing(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "the database is away")
    limited = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", "too many calls", retry_after=60)
    server.fail("GenerateImage", away, limited)
    refused(antiphon(*GENERATE), "too many calls", "the database is away")


def test_a_server_that_is_lost_while_it_makes_images_is_sought(
    antiphon: Antiphon, server: ScriptedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_generate, "_PAUSE_SECONDS", 0.0)
    server.fail("GenerateImage", *[BROKEN] * 7)
    told = antiphon(*GENERATE)
    assert done(told)[0][0] == server.images[0].image_id
    assert "asking again" in told.stderr
    asked: list[Any] = [seen.request for seen in server.of("GenerateImage")]
    assert len({request.request_id for request in asked}) == 1
    monkeypatch.setattr(image_generate, "SOUGHT_SECONDS", -1.0)
    server.fail("GenerateImage", *[BROKEN] * 6)
    refused(antiphon(*GENERATE), "was lost", "antiphon image list")


def test_a_server_that_was_never_there_is_told_at_once(antiphon: Antiphon, server: ScriptedImages) -> None:
    server.stop()
    told = antiphon(*GENERATE)
    refused(told, "no server answers")
    assert "asking again" not in told.stderr


def test_a_half_copied_id_is_refused_at_once(antiphon: Antiphon, server: ScriptedImages) -> None:
    for command in ("get", "delete"):
        refused(antiphon("image", command, STRANGER[:20]), "antiphon image list", status=2)
    assert server.calls == []


def test_images_are_listed_with_whole_prompts_in_a_pipe(antiphon: Antiphon, server: ScriptedImages) -> None:
    ana = server.add_user("ana@example.com")
    server.add_image("long " * 50, user_id=ana.user_id)
    server.add_image("two\nlines")
    newest, oldest = done(antiphon("image", "list"))
    assert newest[1:] == ["2027-01-15 08:00:01+00:00", "512x512", "procedural", "two lines"]
    assert oldest[-1] == ("long " * 50).strip()
    assert [row[2] for row in done(antiphon("image", "list", "--all"))] == ["", "ana@example.com"]
    done(antiphon("image", "list", "--user", "ana@example.com", "--limit", "1"))
    assert (sent(server, "ListImages").user_id, sent(server, "ListImages").page_size) == (ana.user_id, 1)
    refused(antiphon("image", "list", "--user", STRANGER, "--all"), "exclude", status=2)


def test_an_image_is_described_fetched_and_deleted(
    antiphon: Antiphon, server: ScriptedImages, folder: Path
) -> None:
    image_id = server.add_image("a cat").image_id
    assert ["prompt", "a cat"] in done(antiphon("image", "get", image_id))
    assert json.loads(antiphon("image", "get", image_id, "--json").stdout)["image"]["prompt"] == "a cat"
    fetched = json.loads(antiphon("image", "get", image_id, "-o", "s.png", "--thumbnail", "--json").stdout)
    assert (folder / "s.png").read_bytes() == bytes_of("a cat", thumbnail=True)
    assert (fetched["imageId"], fetched["sizeBytes"]) == (
        image_id,
        str(len(bytes_of("a cat", thumbnail=True))),
    )
    refused(antiphon("image", "get", image_id, "--thumbnail"), "-o", status=2)
    refused(antiphon("image", "delete", image_id), "--yes", status=2)
    assert json.loads(antiphon("image", "delete", image_id, "--yes", "--json").stdout) == {
        "imageId": image_id
    }
    refused(antiphon("image", "delete", image_id, "--yes"), "there is no image", "antiphon image list")


def test_models_say_what_they_make(antiphon: Antiphon, server: ScriptedImages) -> None:
    server.image_models.default_model = "flux"
    model = server.image_models.models.add(
        name="flux", ready=True, sizes=["512x512", "256x256"], maximum_count=4
    )
    model.takes_seed = True
    model.prices.add(size="512x512", nano_usd_per_image=40_000_000)
    model.prices.add(nano_usd_per_image=63_000_000)
    server.image_models.models.add(
        name="other", not_ready_reason="set HF_TOKEN", description="Good at hands."
    )
    first, second = done(antiphon("image", "models"))
    assert first[:4] == ["flux *", "ready", "", "512x512, 256x256"]
    assert first[6:9] == ["4", "seed", "512x512 $0.04, else $0.063"]
    assert (second[1], second[-1]) == ("not ready", "set HF_TOKEN. Good at hands.")


def test_a_terminal_shows_how_long_it_takes_and_ctrl_c_ends_the_making(
    outside: Mapping[str, str], server: ScriptedImages
) -> None:
    begun = threading.Event()

    def generating(context: grpc.ServicerContext) -> None:
        begun.set()
        until_the_caller_leaves(context)

    server.generating = generating
    with Terminal(outside, *GENERATE) as terminal:
        terminal.wait_for("making the image … 0 s")
        assert begun.wait(10)
        assert terminal.ended("\x03") == 130
    assert server.of("GenerateImage")[0].ended.wait(10)
    assert "Traceback" not in terminal.shown


def test_a_terminal_has_lists_in_its_width_and_takes_no_image(
    outside: Mapping[str, str], server: ScriptedImages
) -> None:
    server.add_image("long " * 50)
    with Terminal(outside, "image", "list", columns=110) as wide:
        assert wide.ended() == 0
    (line,) = (each for each in wide.shown.splitlines() if each.startswith(server.images[0].image_id))
    assert line.rstrip().endswith("…")
    with Terminal(outside, *GENERATE, "-o", "-") as terminal:
        assert terminal.ended() == 2
    assert "not for a terminal" in terminal.shown
