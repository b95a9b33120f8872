"""Images that were made: list them, show or fetch one, delete one; the models that make them."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.file_output import STANDARD_OUTPUT, Force
from services.cli.image_files import Destination, FormatOption, Output
from services.cli.listing import cut, with_last_cut
from services.cli.output import (
    MISUSE,
    CommandFailed,
    as_dict,
    exact_time,
    local_time,
    note,
    print_fields,
    print_json,
    print_table,
)
from services.cli.people import Whose, emails_of, find_user_id, nothing_of
from services.cli.prompts import confirm
from services.cli.texts import check_image_id

if TYPE_CHECKING:
    from antiphon.image.v1 import image_pb2

    from antiphon_client import Client

ImageId = Annotated[
    str,
    typer.Argument(metavar="IMAGE", help="As `antiphon image list` prints it.", callback=check_image_id),
]
_ASKED = 60
"""How many columns of a prompt a question has."""


def list_images(
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most, the newest.")
    ] = 20,
    user: Whose = "",
    everybody: Annotated[
        bool, typer.Option("--all", help="Everybody's, those of anonymous callers, too (administrators).")
    ] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List images, newest first.

    \b
    Example:
      antiphon image list --limit 5
    """
    with calling(server, as_json) as client:
        if everybody and user:
            raise CommandFailed("--all and --user exclude each other", status=MISUSE)
        size = min(limit, 100)
        found = (
            client.list_all_images(page_size=size)
            if everybody
            else client.list_images(user_id=find_user_id(client, user), page_size=size)
        )
        images = list(itertools.islice(found, limit)) or nothing_of(client, user)
        if as_json:
            print_json({"images": [as_dict(image) for image in images]})
            return
        _print_list(client, images, with_people=everybody)


def _print_list(client: Client, images: Sequence[image_pb2.Image], *, with_people: bool) -> None:
    on_terminal = sys.stdout.isatty()
    headers = ["IMAGE", "TIME", *(["USER"] if with_people else []), "SIZE", "MODEL", "PROMPT"]
    emails = emails_of(client, dict.fromkeys(each.user_id for each in images)) if with_people else {}
    nobody = "(anonymous)" if on_terminal else ""
    # A terminal has little room, and its reader's clock; whoever reads a pipe may be elsewhere.
    time = local_time if on_terminal else exact_time
    rows = [
        (
            image.image_id,
            time(image.create_time),
            *([emails.get(image.user_id, image.user_id) or nobody] if with_people else []),
            image.size,
            image.model,
            image.prompt,
        )
        for image in images
    ]
    print_table(headers, with_last_cut(headers, rows), "there are no images yet")


def get_image(
    image_id: ImageId,
    output: Output = None,
    form: FormatOption = "",
    thumbnail: Annotated[
        bool, typer.Option("--thumbnail", help="A small version, at most 256 pixels wide and high.")
    ] = False,
    owner_token: Annotated[
        str,
        typer.Option(
            "--owner-token",
            metavar="TOKEN",
            help="What the answer to an anonymous call had.",
            show_default=False,
        ),
    ] = "",
    force: Force = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Show how an image was made, or write it to a file.

    \b
    Examples:
      antiphon image get 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
      antiphon image get 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11 -o cat.jpg
    """
    with calling(server, as_json) as client:
        destination = Destination.of(output, form, force=force, as_json=as_json)
        if destination is None:
            if thumbnail:
                raise CommandFailed(
                    "--thumbnail is of no use without a file", "Name one with -o.", status=MISUSE
                )
            _describe(client.get_image(image_id, owner_token=owner_token), as_json)
            return
        (path,) = destination.paths
        download = client.download_image(
            image_id,
            image_format=destination.image_format,
            thumbnail=thumbnail,
            owner_token=owner_token,
        )
        destination.write(path, download, server)
        if as_json:
            # As proto JSON writes numbers of 64 bits, like that of the image itself.
            told = {"imageId": image_id, "file": str(path), "contentType": download.content_type}
            print_json(told | {"sizeBytes": str(download.total_bytes), "sha256": download.sha256})
        elif path != STANDARD_OUTPUT:
            note(f"{path} ({download.total_bytes:,} bytes)")


def _describe(image: image_pb2.Image, as_json: bool) -> None:
    if as_json:
        print_json({"image": as_dict(image)})
        return
    made = image.metadata
    print_fields(
        (
            ("image", image.image_id),
            ("prompt", image.prompt),
            ("not to show", image.negative_prompt),
            ("prompt used", made.revised_prompt),
            ("size", image.size),
            ("pixels", f"{made.width}x{made.height}" if made.width else ""),
            ("style", image.style),
            ("seed", str(made.seed) if made.HasField("seed") else ""),
            ("model", image.model),
            ("provider", image.provider),
            ("owner", image.user_id),
            ("made", exact_time(image.create_time)),
            ("took", f"{made.processing_time_ms / 1000:.1f} s"),
            ("bytes", f"{image.size_bytes:,}" if sys.stdout.isatty() else str(image.size_bytes)),
            ("sha256", image.sha256),
            ("object", image.object_key),
            ("link", image.download_url),
            ("link ends", exact_time(image.download_url_expire_time)),
        )
    )


def delete_image(
    image_id: ImageId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Delete an image. What was used stays on the meter.

    \b
    Example:
      antiphon image delete 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
    """
    with calling(server, as_json) as client:
        if not yes:
            prompt = cut(client.get_image(image_id).prompt, _ASKED)
            confirm(f'Delete the image "{prompt}" for good?', yes=yes)
        client.delete_image(image_id)
        if as_json:
            print_json({"imageId": image_id})
            return
        note(f"{image_id} is deleted")
