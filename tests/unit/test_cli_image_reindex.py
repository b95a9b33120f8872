"""What `image reindex` says of what it did."""

import json
from dataclasses import replace

import pytest

from services.cli.image_reindex import tell
from services.cli.output import CommandFailed
from services.image.usecases.reindex import Reindexed

DONE = Reindexed(seen=7, added=2, missing=3, removed=0, unreadable=())


def told(done: Reindexed, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> tuple[str, str]:
    tell(done, as_json=as_json)
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_what_was_done_is_told_and_what_is_left_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    shown, noted = told(DONE, capsys)
    assert shown.splitlines() == ["seen\t7", "added\t2", "missing\t3", "removed\t0", "unreadable\t0"]
    assert "--prune" in noted
    assert told(replace(DONE, removed=3), capsys)[1] == ""


def test_a_program_is_told_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(told(DONE, capsys, as_json=True)[0]) == {
        "seen": 7,
        "added": 2,
        "missing": 3,
        "removed": 0,
        "unreadable": [],
    }


def test_objects_that_can_not_be_read_are_a_failure_that_names_some(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = tuple(f"requests/2026/11/01/{number}/record.json" for number in range(12))
    with pytest.raises(CommandFailed) as caught:
        tell(replace(DONE, unreadable=keys), as_json=True)
    assert json.loads(capsys.readouterr().out)["unreadable"] == list(keys)
    assert caught.value.status == 1
    assert caught.value.advice.splitlines()[-2:] == [keys[9], "and 2 more; --json has them all"]
