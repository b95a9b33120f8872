"""What of a text tells how many tokens it has: counts of bytes and of their neighbourhoods, each taken by one pass of C."""

from __future__ import annotations

# The first bytes of characters by their kind; `.` is punctuation, and what is left.
_KINDS = (
    (b"abcdefghijklmnopqrstuvwxyz", b"a"),
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"A"),
    (b"0123456789", b"0"),
    (b" ", b" "),
    (b"\n\r", b"n"),
    (b"\t", b"t"),
    (range(0xC3, 0xC6), b"L"),  # Latin with accents
    (range(0xC6, 0xCE), b"M"),  # more Latin, and accents that stand by themselves
    (range(0xCE, 0xD0), b"G"),  # Greek
    (range(0xD0, 0xD4), b"R"),  # Cyrillic
    (range(0xD4, 0xD8), b"H"),  # Armenian, Hebrew
    (range(0xD8, 0xE0), b"B"),  # Arabic
    (range(0xE0, 0xE1), b"I"),  # India, Thailand
    (range(0xE1, 0xE2), b"V"),  # Georgia, Vietnam
    (range(0xE2, 0xE3), b"S"),  # symbols
    (range(0xE3, 0xE4), b"J"),  # Japanese
    (range(0xE4, 0xEA), b"C"),  # Chinese
    (range(0xEA, 0xEE), b"K"),  # Korean
    (range(0xEE, 0xF0), b"F"),  # full-width forms
    (range(0xF0, 0x100), b"E"),  # emoji
)


def _table() -> bytes:
    table = bytearray(b"." * 256)
    for members, kind in _KINDS:
        for byte in members:
            table[byte] = kind[0]
    return bytes(table)


_TO_KINDS = _table()
_CONTINUATIONS = bytes(range(0x80, 0xC0))
_TO_WORDS = bytes(ord("w") if kind in b"aALMV" else ord("x") for kind in range(256))

# By what they are counted in: the kinds, the words, and the bytes themselves.
_KIND_COUNTS = (
    *(b"a", b"A", b"0", b" ", b"n", b"t", b"."),
    *(b"aA", b"Aa", b"AA", b"a0", b"0a", b"A0", b"0A", b"000", b" 0", b".0", b"0."),
    *(b" .", b".a", b".A", b"..", b"....", b"  ", b"        ", b"n ", b"nn"),
    *(b"aaaa", b"aaaaaa", b"aaaaaaaaa", b"aaaaaaaaaaaaa"),
)
_WORD_COUNTS = (b"xw", b"wx")
_BYTE_COUNTS = (
    *(b" the ", b"th", b"ing", b"tion", b" a", b"e ", b"o ", b"a ", b"s ", b"en", b"er", b"ch", b"sch"),
    *(b"k", b"z", b"w", b"y", b"j", b"q", b"x", b"ij", b"aa", b"de ", b"que", b" un", b"os "),
    *(b"://", b"self", b"return"),
)
# What there is none of in ASCII.
_OTHER_KIND_COUNTS = (
    *(b"L", b"M", b"G", b"R", b"H", b"B", b"I", b"V", b"S", b"J", b"C", b"K", b"F", b"E"),
    *(b"aL", b"La", b"LL", b" L", b" G", b" R", b" H", b" B", b" I", b" K", b"KK", b"CC", b"JJ"),
    *(b"RRRRRR", b"GGGGGG", b"VL", b"aV", b"Va"),
)
_OTHER_BYTE_COUNTS = (
    *(text.encode() for text in ("ы", "ъ", "і", "ј", "и", "ی", "ک", "ñ", "ã", "ß", "ł", "ė", "đ")),
    *(text.encode() for text in ("的", "這", "。", "を")),
    *(
        b"\xe0\xa4",
        b"\xe0\xa6",
        b"\xe0\xae",
        b"\xe0\xaf",
        b"\xe1\x83",
        b"\xe1\xba",
        b"\xe1\xbb",
        b"\xe3\x83",
        b"\xc2",
    ),
)

ASCII_FEATURES = tuple(
    f"{source} {counted.decode()!r}"
    for source, group in (("kinds", _KIND_COUNTS), ("words", _WORD_COUNTS), ("bytes", _BYTE_COUNTS))
    for counted in group
)
ALL_FEATURES = ASCII_FEATURES + tuple(
    f"{source} {counted!r}"
    for source, group in (("kinds", _OTHER_KIND_COUNTS), ("bytes", _OTHER_BYTE_COUNTS))
    for counted in group
)


def features(text: str) -> list[int]:
    """The counts, as `ALL_FEATURES` names them; of a text in ASCII those of `ASCII_FEATURES` alone, since the others are 0."""
    data = text.encode(errors="replace")
    kinds = data.translate(_TO_KINDS, _CONTINUATIONS)
    words = b"x" + kinds.translate(_TO_WORDS)
    count, count_words, count_bytes = kinds.count, words.count, data.count
    found = [*map(count, _KIND_COUNTS), *map(count_words, _WORD_COUNTS), *map(count_bytes, _BYTE_COUNTS)]
    if len(kinds) != len(data):
        found += map(count, _OTHER_KIND_COUNTS)
        found += map(count_bytes, _OTHER_BYTE_COUNTS)
    return found
