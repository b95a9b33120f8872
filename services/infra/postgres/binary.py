"""Values in PostgreSQL's binary form, as its `*recv` functions read them. All numbers are big-endian."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from services.infra.postgres.failures import unstorable_text


class Kind(IntEnum):
    """Types of values, by the numbers that they have in every PostgreSQL (pg_type.dat)."""

    BOOLEAN = 16
    BYTEA = 17
    BIGINT = 20
    SMALLINT = 21
    TEXT = 25
    BYTEAS = 1001
    SMALLINTS = 1005
    TEXTS = 1009
    BIGINTS = 1016
    TIMESTAMPTZ = 1184
    TIMESTAMPTZS = 1185
    UUID = 2950
    UUIDS = 2951
    JSONB = 3802


TRUE, FALSE = b"\1", b"\0"
_JSONB_VERSION = b"\1"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_SINCE_1970 = 946_684_800_000_000
_ARRAY = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")
_SIZED_BIGINT = struct.Struct("!iq")
_SIZED_SMALLINT = struct.Struct("!ih")
_SIZE_OF_UUID = "00000010"
bigint = struct.Struct("!q").pack
smallint = struct.Struct("!h").pack


def boolean(value: bool) -> bytes:
    """A `boolean`."""
    return TRUE if value else FALSE


def uuid(value: str) -> bytes:
    """A `uuid`, of its 32 hexadecimal digits in any grouping. Raises ValueError for other text."""
    return bytes.fromhex(value.replace("-", ""))


def text(value: str) -> bytes:
    """A `text`. What UTF-8 does not have goes in escaped. Raises InvalidArgument for U+0000, which PostgreSQL can't keep."""
    if "\0" in value:
        raise unstorable_text()
    return value.encode(errors="backslashreplace")


def timestamptz(value: datetime) -> bytes:
    """A `timestamptz` of a time with a zone."""
    since = value - _EPOCH
    return bigint((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds)


def jsonb(value: Any) -> bytes:
    """A `jsonb`."""
    return _JSONB_VERSION + json.dumps(value).encode()


def uuids(values: Sequence[bytes]) -> bytes:
    """A `uuid[]` of values of 16 bytes each."""
    return _array(Kind.UUID, values)


def byteas(values: Sequence[bytes]) -> bytes:
    """A `bytea[]`."""
    return _array(Kind.BYTEA, values)


def texts(values: Sequence[str]) -> bytes:
    """A `text[]`; each as `text` makes it."""
    return _array(Kind.TEXT, [text(value) for value in values])


def uuids_of_texts(values: Sequence[str]) -> bytes:
    """A `uuid[]` of texts as `uuid` takes them."""
    digits = "".join([_SIZE_OF_UUID + value for value in values]).replace("-", "")
    return _ARRAY.pack(1, 0, Kind.UUID, len(values), 1) + bytes.fromhex(digits)


def bigints(values: Sequence[int]) -> bytes:
    """A `bigint[]`."""
    return _eights(Kind.BIGINT, values)


def smallints(values: Sequence[int]) -> bytes:
    """A `smallint[]`."""
    pack = _SIZED_SMALLINT.pack
    return b"".join((_ARRAY.pack(1, 0, Kind.SMALLINT, len(values), 1), *[pack(2, value) for value in values]))


def timestamptzs(values: Sequence[int]) -> bytes:
    """A `timestamptz[]` of microseconds since 1970."""
    return _eights(Kind.TIMESTAMPTZ, [value - _EPOCH_SINCE_1970 for value in values])


def _eights(kind: Kind, values: Sequence[int]) -> bytes:
    pack = _SIZED_BIGINT.pack
    return b"".join((_ARRAY.pack(1, 0, kind, len(values), 1), *[pack(8, value) for value in values]))


def _array(kind: Kind, values: Sequence[bytes]) -> bytes:
    parts = [_ARRAY.pack(1, 0, kind, len(values), 1)]
    for value in values:
        parts += (_LENGTH.pack(len(value)), value)
    return b"".join(parts)
