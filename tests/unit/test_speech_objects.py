"""The keys of a conversion's objects, which others know."""

from __future__ import annotations

from datetime import date

from services.speech.generation.objects import Keys, keys_to_remove
from services.speech.model import Format, Removal

FOLDER = "requests/2026/05/04/0190/"


def test_a_conversion_has_a_tree_of_its_own_by_its_day() -> None:
    keys = Keys("0190", date(2026, 5, 4), Format.OGG_OPUS)
    assert (keys.record, keys.input) == (f"{FOLDER}record.json", f"{FOLDER}input.json")
    assert keys.audio == f"{FOLDER}audio/original.ogg"


def test_a_removal_takes_all_that_there_may_be_the_record_first() -> None:
    first, *others = keys_to_remove(Removal("0190", date(2026, 5, 4)))
    assert first == f"{FOLDER}record.json"
    audio = [Keys("0190", date(2026, 5, 4), format_).audio for format_ in Format]
    assert sorted(others) == sorted([f"{FOLDER}input.json", *audio])
