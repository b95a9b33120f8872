"""Identifiers: their order, their form, and their randomness."""

import subprocess
import sys
import time
from uuid import UUID

from services.kernel.ids import new_id

_RANDOM = 0x3FFF_FFFF_FFFF_FFFF

_FORK = """
import os
from services.kernel.ids import new_id
new_id()
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, new_id().encode())
    os._exit(0)
os.wait()
print(new_id(), os.read(reading, 36).decode())
"""


def test_ids_are_uuids_of_version_7_and_of_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(new_id())
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_ids_grow_and_are_written_as_uuids_are() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(made)
    assert made == [str(UUID(one)) for one in made]


def test_no_two_have_the_same_random_part() -> None:
    assert len({UUID(new_id()).int & _RANDOM for _ in range(5000)}) == 5000


def test_a_forked_process_draws_its_own_random_part() -> None:
    printed = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True, check=True)
    ours, theirs = (UUID(one).int & _RANDOM for one in printed.stdout.split())
    assert ours != theirs
