"""Colours by style, from the darkest tone to the lightest, and how a style lays them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Palette = tuple[int, ...]
"""Colours as 0xRRGGBB."""


@dataclass(frozen=True, slots=True)
class Style:
    """How tones become colours: in so many flat `levels` (0: smoothly), lit from the side by `relief`, with `grain`; `hatched` by strokes
    of ink where it is dark, or in squares, `blocks` of them along the shorter side (0: none)."""

    palettes: tuple[Palette, ...]
    levels: int = 0
    relief: int = 0
    grain: int = 0
    hatched: bool = False
    blocks: int = 0


_VIVID: tuple[Palette, ...] = (
    (0x0B132B, 0x1C2541, 0x3A506B, 0x5BC0BE, 0xF4F1DE),
    (0x10002B, 0x3C096C, 0x7B2CBF, 0xE0AAFF, 0xFFF3E0),
    (0x03071E, 0x6A040F, 0xD00000, 0xF48C06, 0xFFE8A3),
    (0x001219, 0x005F73, 0x0A9396, 0xE9D8A6, 0xEE9B00),
    (0x1A1423, 0x3D314A, 0x684756, 0x96705B, 0xF2D0A4),
    (0x0D1B2A, 0x1B4965, 0x5FA8D3, 0xCAE9FF, 0xFFFFFF),
)
_NEON: tuple[Palette, ...] = (
    (0x0A0014, 0x3A0CA3, 0x7209B7, 0xF72585, 0x4CC9F0, 0xF8F9FA),
    (0x020617, 0x0F4C81, 0x00B4D8, 0x80FFDB, 0xFDFFB6),
    (0x0F0A1E, 0x5A189A, 0xFF006E, 0xFB5607, 0xFFBE0B),
    (0x00110F, 0x006D5B, 0x06D6A0, 0xFFD166, 0xEF476F),
)
_NATURAL: tuple[Palette, ...] = (
    (0x1B2A1E, 0x3A5A40, 0x588157, 0xA3B18A, 0xE9E5D6),
    (0x14213D, 0x2F4858, 0x5C7C8A, 0xB8C4BB, 0xF2E8CF),
    (0x2B1D14, 0x6B4226, 0xA47148, 0xD4A276, 0xF6E7CB),
    (0x101820, 0x33415C, 0x7D8597, 0xC9ADA7, 0xF2E9E4),
)
_BRIGHT: tuple[Palette, ...] = (
    (0x2D3047, 0x5B5F97, 0xFF6B6C, 0xFFC145, 0xFFFBE6),
    (0x22577A, 0x38A3A5, 0x57CC99, 0xC7F9CC, 0xFFF1F3),
    (0x3D348B, 0x7678ED, 0xF7B801, 0xF18701, 0xFFF4E0),
    (0x4A306D, 0xC95D9C, 0xFF9EBB, 0xA0E7E5, 0xFFFDF7),
)
_PALE: tuple[Palette, ...] = (
    (0x6B8FA3, 0x9DB9C6, 0xC9DCE0, 0xF0E6DC, 0xFBF7EF),
    (0x9A7AA0, 0xC8A2C8, 0xE7C6D4, 0xF7E1D7, 0xFDF8F2),
    (0x6F8F72, 0xA3BFA0, 0xD3DDB7, 0xF4EBC9, 0xFCF9EE),
    (0xB5735C, 0xDDA77B, 0xF1D0A5, 0xF8E9D2, 0xFDFAF3),
)
_INK: tuple[Palette, ...] = (
    (0x8A8578, 0xC9C3B4, 0xEFEADC, 0xF8F5EC),
    (0x7F8790, 0xC3C8CC, 0xE9ECEC, 0xF7F8F6),
)
_CONSOLE: tuple[Palette, ...] = (
    (0x1A1C2C, 0x5D275D, 0xB13E53, 0xEF7D57, 0xFFCD75, 0xA7F070, 0x73EFF7, 0xF4F4F4),
    (0x0F1B2D, 0x29366F, 0x3B5DC9, 0x41A6F6, 0x73EFF7, 0xF4F4F4),
    (0x0B1F14, 0x1E5631, 0x4C9A2A, 0xA4DE02, 0xF3FFBD),
    (0x2B0F1C, 0x7A1F3D, 0xD1495B, 0xF79256, 0xFBD1A2),
)

PLAIN = Style(_VIVID, relief=3)
STYLES: Mapping[str, Style] = {
    "realistic": Style(_NATURAL, relief=4, grain=2),
    "anime": Style(_BRIGHT, levels=6),
    "digital-art": Style(_NEON, relief=3),
    "watercolor": Style(_PALE, levels=9, relief=1, grain=2),
    "sketch": Style(_INK, grain=1, hatched=True),
    "pixel-art": Style(_CONSOLE, levels=8, blocks=64),
}
