"""Identifiers: UUIDv7 (RFC 9562 §5.7), whose order is that of their making."""

from __future__ import annotations

import os
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK_BYTES = 1024
_lock = threading.Lock()
_last = 0
_random = b""
_random_of = 0  # the process that drew it: a fork must not hand out the same


def new_id() -> str:
    """A new UUIDv7 as a string, greater than all that this process made before.

    The 12 bits after the milliseconds carry a fraction of one (method 3 of RFC 9562 §6.2), 62 bits are random.
    """
    global _last, _random, _random_of
    millis, rest = divmod(time.time_ns(), 1_000_000)
    stamp = (millis << 12) | (rest * 4096 // 1_000_000)
    process = os.getpid()
    with _lock:
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
        # Randomness is drawn in blocks: the system call lets go of the interpreter, and who waits for it to come back waits for long.
        if not _random or _random_of != process:
            _random, _random_of = os.urandom(_BLOCK_BYTES), process
        drawn, _random = _random[:8], _random[8:]
    random = int.from_bytes(drawn) & 0x3FFF_FFFF_FFFF_FFFF
    value = ((stamp >> 12) << 80) | (0x7 << 76) | ((stamp & 0xFFF) << 64) | (0b10 << 62) | random
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def stamp_of(id_: str) -> int:
    """What the order of UUIDv7s goes by, as `new_id` makes them: 48 bits of milliseconds and 12 of their fraction, as one number."""
    value = uuid.UUID(id_).int
    return ((value >> 80) << 12) | ((value >> 64) & 0xFFF)


def first_id_at(moment: datetime) -> str:
    """The least UUIDv7 of a moment's millisecond: ids made before it are smaller, those made from it on are not."""
    millis = (moment - _EPOCH) // timedelta(milliseconds=1)
    return str(uuid.UUID(int=(max(millis, 0) << 80) | (0x7 << 76) | (0b10 << 62)))


def is_random_uuid(text: str) -> bool:
    """Whether `text` is a UUIDv4, which nobody can guess."""
    try:
        return uuid.UUID(text).version == 4
    except ValueError:
        return False
