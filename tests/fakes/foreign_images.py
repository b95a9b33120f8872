"""Image files as strangers send them: of every accepted kind, with metadata, and hostile ones."""

import io
import struct
import zlib

from PIL import Image, ImageCms, PngImagePlugin

MARK = "to-be-forgotten"
PNG = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, format_: str, **wishes: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **wishes)
    return file.getvalue()


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), (220, 30, 20))
    image.paste((20, 40, 230), (width // 2, 0, width, height))
    return image


def kinds() -> dict[str, bytes]:
    """The scene in every format and kind of pixels that is taken in colour."""
    image = scene()
    half = image.copy()
    half.putalpha(200)
    return {
        "png": saved(image, "PNG"),
        "png-palette": saved(image.quantize(4), "PNG"),
        "png-alpha": saved(half, "PNG"),
        "png-animated": saved(image, "PNG", save_all=True, append_images=[Image.new("RGB", image.size)]),
        "jpeg": saved(image, "JPEG", quality=95, subsampling=0),
        "jpeg-progressive": saved(image, "JPEG", quality=95, progressive=True),
        "jpeg-cmyk": saved(image.convert("CMYK"), "JPEG", quality=95),
        "webp": saved(image, "WEBP", quality=95),
        "webp-lossless": saved(half, "WEBP", lossless=True),
        "gif": saved(image, "GIF"),
        "gif-animated": saved(image, "GIF", save_all=True, append_images=[Image.new("RGB", image.size)]),
        "bmp": saved(image, "BMP"),
        "avif": saved(image, "AVIF", quality=95, subsampling="4:4:4"),
    }


def talkative() -> dict[str, bytes]:
    """The scene with everything that can be said beside it."""
    image = scene()
    exif = Image.Exif()
    exif[0x010E] = MARK
    exif[0x8298] = MARK
    xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{MARK}</x:xmpmeta>".encode()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + MARK.encode()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", MARK)
    texts.add_text("More", MARK, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return {
        "png": saved(image, "PNG", pnginfo=texts, exif=exif, icc_profile=profile),
        "jpeg": saved(image, "JPEG", exif=exif, icc_profile=profile, comment=MARK, xmp=xmp),
        "webp": saved(image, "WEBP", exif=exif, icc_profile=profile, xmp=xmp),
        "avif": saved(image, "AVIF", exif=exif, icc_profile=profile, xmp=xmp),
        "gif": saved(image, "GIF", comment=MARK),
    }


def with_swapped_profile() -> bytes:
    """The scene, with a profile in which red and green have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = bytearray(bytes(profile).replace("sRGB".encode("utf-16-be"), "none".encode("utf-16-be")))
    entries = {
        bytes(profile[at : at + 4]): at
        for at in range(132, 132 + 12 * struct.unpack_from(">I", profile, 128)[0], 12)
    }
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return saved(scene(), "PNG", icc_profile=bytes(profile))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width: int, height: int, *more: bytes, packed: bytes) -> bytes:
    """A PNG that claims this size, with these chunks and these compressed pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG + head + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def enormous() -> dict[str, bytes]:
    """Files of a few bytes that claim to be enormous."""
    jpeg = bytearray(saved(scene(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    bmp = bytearray(saved(scene(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    gif = bytearray(saved(scene(), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16383).to_bytes(3, "little") * 2
    return {
        "png": png_of(20_000, 20_000, packed=zlib.compress(bytes(1000))),
        "jpeg": bytes(jpeg),
        "bmp": bytes(bmp),
        "gif": bytes(gif),
        "webp": b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp,
    }


def bombs() -> dict[str, bytes]:
    """Small PNGs that unfold into much beside their pixels."""
    packed = zlib.compress(bytes(64 * 1024**2), 1)
    row = zlib.compress(bytes(1 + 3))
    return {
        "text": png_of(1, 1, chunk(b"zTXt", b"Comment\0\0" + packed), packed=row),
        "international text": png_of(1, 1, chunk(b"iTXt", b"Comment\0\1\0\0\0" + packed), packed=row),
        "profile": png_of(1, 1, chunk(b"iCCP", b"Profile\0\0" + packed), packed=row),
        "pixels": png_of(1, 1, packed=packed),
    }


def gif_of_many_frames(count: int = 10_000) -> bytes:
    """A GIF of 2 x 2 pixels with so many frames."""
    head = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + bytes.fromhex("dc1e14 1428e6")
    frame = b"," + struct.pack("<HHHHB", 0, 0, 2, 2, 0) + bytes.fromhex("02 02 0c0a 00")
    return head + frame * count + b";"


NO_IMAGES = {
    "nothing": b"",
    "vector graphics": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
    "a page": b"<!doctype html><title>Sign in</title>",
    "an answer": b'{"error": "quota"}',
    "a document": b"%PDF-1.7\n1 0 obj\n",
    "a print": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "an archive": b"PK\x03\x04" + bytes(60),
    "another box": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60),
    "a signature": PNG,
}
