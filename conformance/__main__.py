"""`python -m conformance`: builds the runners, plays the cases, prints the table; ends with 1 when anything differs."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from conformance.driver import cases
from conformance.driver.building import built
from conformance.driver.cases import Case
from conformance.driver.failures import BuildFailed, CaseInvalid, CaseUnknown, DriverFailed, ToolsMissing
from conformance.driver.languages import LANGUAGES, Language
from conformance.driver.progress import Progress
from conformance.driver.round import AT_ONCE, play_all
from conformance.driver.stopping import Stopped, until_told_to_stop
from conformance.driver.suite import Suites
from conformance.driver.table import Outcome, Outcomes, status, table


def main() -> int:
    """The exit status: 0 when all is as expected, 1 when not, 2 when it could not be found out."""
    given = _arguments()
    try:
        found = _asked_for(cases.read(), given.case)
        if given.list:
            _say("\n".join(f"{case.name}: {case.says}{_only(case)}" for case in found))
            return 0
        chosen = [case for case in found if ("tls" if given.tls else "plain") in case.rounds]
        if not chosen:
            _tell(_of_other_round(len(found), tls=given.tls))
            return 2
        languages = [LANGUAGES[name] for name in given.languages or LANGUAGES]
        ready, missing = _ready(languages)
        played = _played(ready, chosen, given) if ready else {}
    except (CaseInvalid, CaseUnknown, DriverFailed) as failure:
        _tell(str(failure))
        return 2
    except Stopped as stopped:
        return 128 + stopped.signal
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if not played:
        for why in missing.values():
            _tell(why)
        return 2
    outcomes = {
        each.name: played.get(each.name)
        or {case.name: Outcome(unknown=missing[each.name]) for case in chosen}
        for each in languages
    }
    _say(table(chosen, outcomes, shutil.get_terminal_size((0, 0)).columns))
    if len(chosen) < len(found):
        _tell(_of_other_round(len(found) - len(chosen), tls=given.tls))
    return status(outcomes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument(
        "languages",
        nargs="*",
        type=_language,
        metavar="LANGUAGE",
        help=f"{', '.join(LANGUAGES)}; all by default",
    )
    parser.add_argument("--case", action="append", metavar="NAME", help="only cases with this in their name")
    parser.add_argument("--tls", action="store_true", help="over mutual TLS")
    parser.add_argument(
        "--at-once",
        type=_at_least_one,
        default=AT_ONCE,
        metavar="N",
        help="cases at the same time (default: %(default)s)",
    )
    parser.add_argument("--list", action="store_true", help="list the cases, and play none")
    return parser.parse_args()


def _language(name: str) -> str:
    if name not in LANGUAGES:
        raise argparse.ArgumentTypeError(f"there is no {name!r}, but {', '.join(LANGUAGES)}")
    return name


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _asked_for(found: Sequence[Case], names: Sequence[str] | None) -> list[Case]:
    """Those with one of the texts in their name; all when there is no text. Raises CaseUnknown for a text that no name has."""
    if not names:
        return list(found)
    by_text = {text: {case.name for case in found if fnmatchcase(case.name, f"*{text}*")} for text in names}
    for text, matching in by_text.items():
        if not matching:
            raise CaseUnknown(f"no case has {text!r} in its name; --list shows them all")
    return [case for case in found if any(case.name in matching for matching in by_text.values())]


def _only(case: Case) -> str:
    """What is said of a case that one of the rounds leaves out."""
    if "tls" not in case.rounds:
        return " (without --tls only)"
    return "" if "plain" in case.rounds else " (with --tls only)"


def _of_other_round(count: int, *, tls: bool) -> str:
    which = "1 case is" if count == 1 else f"{count} cases are"
    return f"{which} played {'without' if tls else 'with'} --tls only"


def _ready(languages: Sequence[Language]) -> tuple[list[Language], dict[str, str]]:
    """Those that have a runner, and why others, by their names, have none."""
    ready, missing = [], {}
    for language in languages:
        try:
            built(language, _tell)
            ready.append(language)
        except (BuildFailed, ToolsMissing) as failure:
            missing[language.name] = str(failure)
    return ready, missing


def _played(languages: Sequence[Language], chosen: Sequence[Case], given: argparse.Namespace) -> Outcomes:
    with (
        tempfile.TemporaryDirectory(prefix="antiphon-conformance-") as folder,
        Progress(len(chosen), sys.stderr) as progress,
    ):
        suites = Suites(Path(folder), tls=given.tls)
        playing = play_all(languages, chosen, Path(folder), suites, progress, given.at_once)
        return asyncio.run(until_told_to_stop(playing))


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
