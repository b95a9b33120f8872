"""Make images."""

from __future__ import annotations

import re
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.file_output import STANDARD_OUTPUT, Force
from services.cli.image_files import Destination, FormatOption, Output
from services.cli.output import MISUSE, CommandFailed, as_dict, describe, note, print_json, print_table
from services.cli.texts import no_text
from services.cli.waiting import Waiting

if TYPE_CHECKING:
    from antiphon.image.v1 import image_pb2

    from antiphon_client import AntiphonError, Client

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
MOST_IMAGES = 10
LARGEST_SEED = 2**32 - 1
SOUGHT_SECONDS = 10.0
"""How long a server that is lost while it makes images is sought."""
_PAUSE_SECONDS = 0.5
# What gRPC says where there was no server in the first place.
_NEVER_THERE = ("ailed to connect", "resolution", "not found", "andshake")


def generate_image(
    prompt: Annotated[
        list[str],
        typer.Argument(metavar="PROMPT", help="What the image is to show; `-` reads standard input."),
    ],
    output: Output = None,
    size: Annotated[
        str,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Such as 512x512, one of the model's; without it the model's default.",
            show_default=False,
        ),
    ] = "",
    style: Annotated[
        str, typer.Option(metavar="STYLE", help="One of the model's styles.", show_default=False)
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="Who makes it, as `antiphon image models` prints it.", show_default=False
        ),
    ] = "",
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            metavar="NUMBER",
            help="What randomness comes from: the same seed makes the same image again, where the model can.",
            show_default=False,
        ),
    ] = None,
    negative: Annotated[
        str, typer.Option("--negative", metavar="TEXT", help="What it is not to show.", show_default=False)
    ] = "",
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=MOST_IMAGES, metavar="COUNT", help="How many images.")
    ] = 1,
    form: FormatOption = "",
    force: Force = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Make an image, and write it to a file. Ctrl-C ends the making.

    Several become cat-1.png, cat-2.png and so on. Without a file the image is kept by the server: its id is printed, and how to
    fetch it.

    \b
    Examples:
      antiphon image generate "a cat" -o cat.png
      antiphon image generate "a cat" --size 256x256 --seed 7 -o cat.webp
    """
    with calling(server, as_json) as client:
        text = _prompt(prompt)
        wanted = _size(size)
        destination = Destination.of(output, form, force=force, as_json=as_json, count=count)
        with Waiting("making the image" if count == 1 else f"making {count} images") as waiting:
            # The same id in each try: what an earlier one has made is found by it.
            request_id = str(uuid.uuid4())
            images = _sought(
                lambda: client.generate_images(
                    text,
                    negative_prompt=negative,
                    size=wanted,
                    style=style,
                    model=model,
                    seed=seed,
                    count=count,
                    request_id=request_id,
                ),
                server,
                waiting,
            )
        if destination is None:
            _show(images, [], as_json)
            if not as_json:
                for image in images:
                    note(f"To fetch it: {_way_to(image, Path('image.png'))}")
            return
        _save(client, images, destination, server, as_json)


def _sought(
    generate: Callable[[], Sequence[image_pb2.Image]], server: str, waiting: Waiting
) -> Sequence[image_pb2.Image]:
    """The images, also when the server is lost while it makes them and comes back soon."""
    from antiphon_client.errors import Unavailable

    ends = 0.0
    while True:
        try:
            return generate()
        except Unavailable as error:
            if not (ends or _lost_under_way(error)) or not _may_come_back(error):
                raise
            if not ends:
                ends = time.monotonic() + SOUGHT_SECONDS
                waiting.remark("the connection was lost; asking again")
            elif time.monotonic() > ends:
                raise CommandFailed(
                    f"the server was lost while it made the images: {describe(error, server)}",
                    "They may be there all the same: `antiphon image list` shows them, with a login.",
                    reason="SERVER_LOST",
                    code=error.code.name,
                ) from error
        time.sleep(_PAUSE_SECONDS)


def _lost_under_way(error: AntiphonError) -> bool:
    """Whether the first try had come to a server."""
    met = error.earlier or error
    return _may_come_back(met) and not any(sign in met.message for sign in _NEVER_THERE)


def _may_come_back(error: AntiphonError) -> bool:
    return error.reason in ("", "SHUTTING_DOWN")


def _save(
    client: Client, images: Sequence[image_pb2.Image], destination: Destination, server: str, as_json: bool
) -> None:
    from antiphon_client import AntiphonError
    from services.cli.advice import advice_on

    done: list[Path] = []
    # A server makes as many as were asked for; one that made fewer has names for them all.
    places = list(zip(images, destination.paths, strict=False))
    try:
        for image, path in places:
            download = client.download_image(
                image.image_id, image_format=destination.image_format, owner_token=image.owner_token
            )
            destination.write(path, download, server)
            done.append(path)
    except (AntiphonError, CommandFailed, OSError, KeyboardInterrupt) as error:
        # It was made, and perhaps paid for: whoever asked is told where it is.
        _show(images if as_json else images[: len(done)], done, as_json)
        ways = [f"  {_way_to(image, path)}" for image, path in places[len(done) :]]
        kept = "\n".join(["The server keeps what was made; to fetch it:", *ways])
        if isinstance(error, CommandFailed):
            raise CommandFailed(
                error.message,
                "\n".join(filter(None, (error.advice, kept))),
                reason=error.reason,
                code=error.code,
                status=error.status,
            ) from error
        if isinstance(error, AntiphonError):
            raise CommandFailed(
                describe(error, server),
                "\n".join(filter(None, (advice_on(error, server), kept))),
                reason=error.reason or "DOWNLOAD_FAILED",
                code=error.code.name,
            ) from error
        note(kept)
        raise
    _show(images, done, as_json)
    if not as_json:
        for image, path in places:
            if image.owner_token:
                # It is told once, and nobody can find the image without it.
                note(f"To fetch it again: {_way_to(image, path)}")


def _show(images: Sequence[image_pb2.Image], files: Sequence[Path], as_json: bool) -> None:
    named = [str(path) for path in files] + [""] * (len(images) - len(files))
    if as_json:
        told = [
            as_dict(image) | ({"file": file} if file else {})
            for image, file in zip(images, named, strict=True)
        ]
        print_json({"images": told})
        return
    rows = [
        (image.image_id, image.size, image.model, _seed(image), file)
        for image, file in zip(images, named, strict=True)
    ]
    if STANDARD_OUTPUT in files:
        # Standard output has the image itself.
        note(" ".join(filter(None, rows[0][:3])))
    elif rows:
        headers = ("IMAGE", "SIZE", "MODEL", "SEED", "FILE")
        shown = len(headers) if files or not sys.stdout.isatty() else len(headers) - 1
        print_table(headers[:shown], [row[:shown] for row in rows], "")


def _seed(image: image_pb2.Image) -> str:
    return str(image.metadata.seed) if image.metadata.HasField("seed") else ""


def _way_to(image: image_pb2.Image, path: Path) -> str:
    token = f" --owner-token {shlex.quote(image.owner_token)}" if image.owner_token else ""
    return f"antiphon image get {image.image_id}{token} -o {shlex.quote(str(path))}"


def _prompt(words: Sequence[str]) -> str:
    text = " ".join(words)
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8").strip()
        except UnicodeDecodeError:
            raise no_text("standard input") from None
    if not text.strip():
        raise CommandFailed(
            "nothing says what the image is to show",
            'antiphon image generate "a cat" -o cat.png',
            status=MISUSE,
        )
    return text


def _size(text: str) -> str:
    typed = text.strip().lower().replace("×", "x")
    if typed and not _SIZE.fullmatch(typed):
        raise CommandFailed(
            f"--size: {text!r} is no size",
            "Write it as 512x512; `antiphon image models` lists those of each model.",
            status=MISUSE,
        )
    return typed
