"""What travels between the server and a worker: a kind, the lengths of header and body, a JSON header, and bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec

MOST_HEADER_BYTES = 1024**2
MOST_BODY_BYTES = 1024**3
PREFIX = struct.Struct(">BII")


class Kind(IntEnum):
    """What a frame is. The server sends START once and then JOBs one by one; a worker answers START by READY, and a JOB by any number of
    ANSWERs and then DONE, REFUSED or FAILED. A worker that needs MORE for its job says that it WANTS it, and then waits: the server sends
    it to nobody else, so that never both send and neither reads."""

    START = 1
    READY = 2
    JOB = 3
    ANSWER = 4
    DONE = 5
    REFUSED = 6
    FAILED = 7
    WANTS = 8
    MORE = 9


class BrokenFrame(Exception):
    """What came is no frame."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece of what a job gave."""

    header: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of a frame."""

    kind: Kind
    header_bytes: int
    body_bytes: int

    @classmethod
    def unpack(cls, data: bytes | bytearray) -> Prefix:
        """From `PREFIX.size` bytes. Raises BrokenFrame, also when the frame is longer than any may be."""
        number, header_bytes, body_bytes = PREFIX.unpack(data)
        try:
            kind = Kind(number)
        except ValueError as error:
            raise BrokenFrame from error
        if header_bytes > MOST_HEADER_BYTES or body_bytes > MOST_BODY_BYTES:
            raise BrokenFrame
        return cls(kind, header_bytes, body_bytes)


def packed(kind: Kind, header: Mapping[str, Any], body_bytes: int = 0) -> bytes:
    """A frame without its body, which the sender sends after it. Raises ValueError when it is too long."""
    encoded = msgspec.json.encode(header)
    if len(encoded) > MOST_HEADER_BYTES or body_bytes > MOST_BODY_BYTES:
        raise ValueError(f"a frame of {len(encoded)} and {body_bytes} bytes is too long")
    return PREFIX.pack(kind, len(encoded), body_bytes) + encoded


def header_of(data: bytes | bytearray) -> dict[str, Any]:
    """The header that these bytes hold. Raises BrokenFrame."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenFrame from error
