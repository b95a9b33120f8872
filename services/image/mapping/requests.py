"""What callers ask for, as values. Form has been checked by the contract's rules."""

from __future__ import annotations

from antiphon.image.v1 import image_pb2

from services.capabilities.claims.model import body_digest
from services.image.model import Format, ImageCall
from services.kernel.errors import InvalidArgument, Violation

_NUL = "holds a NUL character, which can't be kept; leave it out"
_FORMATS = {
    image_pb2.IMAGE_FORMAT_UNSPECIFIED: Format.PNG,
    image_pb2.IMAGE_FORMAT_PNG: Format.PNG,
    image_pb2.IMAGE_FORMAT_JPEG: Format.JPEG,
    image_pb2.IMAGE_FORMAT_WEBP: Format.WEBP,
    image_pb2.IMAGE_FORMAT_AVIF: Format.AVIF,
}


def image_call(request: image_pb2.GenerateImageRequest, digest_key: bytes) -> ImageCall:
    """A call for images; `digest_key` keys the digest of its body. Raises InvalidArgument for texts that can't be kept."""
    texts = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
    found = [Violation(field, _NUL) for field, text in texts.items() if "\0" in text]
    if found:
        raise InvalidArgument(f"{', '.join(one.field for one in found)}: {_NUL}", violations=found)
    return ImageCall(
        request_id=request.request_id.lower(),
        digest=_digest(request, digest_key),
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        size=request.size,
        style=request.style,
        model=request.model,
        seed=request.seed if request.HasField("seed") else None,
        count=request.count,
    )


def format_of(format_: image_pb2.ImageFormat) -> Format:
    """The format to send; the contract's rules let no other through."""
    return _FORMATS[format_]


def _digest(request: image_pb2.GenerateImageRequest, key: bytes) -> bytes:
    """What identifies the body."""
    if not request.request_id:
        return b""
    body = image_pb2.GenerateImageRequest()
    body.CopyFrom(request)
    body.ClearField("request_id")
    # To say nothing is to say one.
    body.count = body.count or 1
    return body_digest(key, body.SerializeToString(deterministic=True))
