"""The program of a codec worker: decodes, draws and converts. Run as `python -m services.image.providers.codecs.worker`."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import AvifImagePlugin, Image

from services.image.providers.codecs.decoding import decoded
from services.image.providers.codecs.drawing.pictures import drawn
from services.image.providers.codecs.encoding import converted, png, thumbnail
from services.infra.workers.frames import Answer
from services.infra.workers.worker import Inbox, run


def handle(header: Mapping[str, Any], body: bytes, inbox: Inbox) -> Iterator[Answer]:
    """One of `adopt`, `draw` and `convert`; the adapter knows what each takes and gives."""
    match header["job"]:
        case "adopt":
            image = decoded(body, header["max_pixels"])
            original = png(image, header["facts"])
            facts = {"width": image.width, "height": image.height, "sha256": _digest(original)}
            yield Answer(
                {**facts, "original_bytes": len(original)}, original + thumbnail(image, header["thumbnail"])
            )
        case "draw":
            picture = drawn(
                header["prompt"], header["width"], header["height"], header["style"], header["seed"]
            )
            yield Answer(body=png(Image.fromarray(picture), {}))
        case "convert":
            made = converted(body, header["format"])
            yield Answer({"sha256": _digest(made)}, made)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    """Work until the server is gone."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    # A worker is one core's share of the machine.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    run(handle)


if __name__ == "__main__":
    main()
