"""What `image reindex` says of what it did."""

import json
from dataclasses import replace

import pytest

from services.cli.image_reindex import tell
from services.cli.output import CommandFailed
from services.image.usecases.reindex import Reindexed, Unreadable

STORE = "the folder /srv/objects"
DONE = Reindexed(indexed=9, seen=7, added=2, missing=3, removed=0, refused=False, unreadable=())


def told(done: Reindexed, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> tuple[str, str]:
    tell(done, STORE, as_json=as_json)
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_what_was_done_is_told_and_what_is_left_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    shown, noted = told(DONE, capsys)
    assert [line.split("\t") for line in shown.splitlines()] == [
        ["indexed", "9"],
        ["seen", "7"],
        ["added", "2"],
        ["missing", "3"],
        ["removed", "0"],
        ["unreadable", "0"],
    ]
    assert "--prune" in noted
    assert told(replace(DONE, removed=3), capsys)[1] == ""


def test_where_no_image_is_nobody_is_told_to_prune(capsys: pytest.CaptureFixture[str]) -> None:
    _, noted = told(replace(DONE, seen=0, added=0, missing=9), capsys)
    assert STORE in noted
    assert "another store" in noted
    assert "--prune" not in noted


def test_a_program_is_told_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(told(DONE, capsys, as_json=True)[0]) == {
        "store": STORE,
        "indexed": 9,
        "seen": 7,
        "added": 2,
        "missing": 3,
        "removed": 0,
        "refused": False,
        "unreadable": [],
    }


def test_a_pruning_that_was_refused_is_a_failure() -> None:
    with pytest.raises(CommandFailed) as caught:
        tell(replace(DONE, missing=9, refused=True), STORE, as_json=False)
    assert f"9 of 9 images of the index are not in {STORE}" in caught.value.message
    assert "--yes" in caught.value.advice


def test_objects_that_can_not_be_read_are_a_failure_that_names_some(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = tuple(
        Unreadable(f"requests/2026/11/01/{number}/record.json", "it is empty") for number in range(12)
    )
    with pytest.raises(CommandFailed) as caught:
        tell(replace(DONE, unreadable=records), STORE, as_json=True)
    assert len(json.loads(capsys.readouterr().out)["unreadable"]) == 12
    assert caught.value.status == 1
    advice = caught.value.advice.splitlines()
    assert advice[9] == "requests/2026/11/01/9/record.json: it is empty"
    assert advice[10] == "and 2 more; --json has them all"
    assert "backup" in advice[-1]
