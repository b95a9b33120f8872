"""`python -m conformance`: builds the runners, plays the cases, prints the table; ends with 1 when anything differs."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from conformance.driver import cases
from conformance.driver.building import built
from conformance.driver.cases import Case
from conformance.driver.failures import BuildFailed, CaseInvalid, DriverFailed, ToolsMissing
from conformance.driver.languages import LANGUAGES, Language
from conformance.driver.round import AT_ONCE, play_all
from conformance.driver.stopping import Stopped, until_told_to_stop
from conformance.driver.suite import Suites
from conformance.driver.table import Outcome, Outcomes, status, table


def main() -> int:
    """The exit status: 0 when all is as expected, 1 when not, 2 when it could not be found out."""
    given = _arguments()
    try:
        found = [case for case in cases.read() if _asked_for(case, given.case)]
        if given.list:
            _say("\n".join(f"{case.name}: {case.says}" for case in found))
            return 0
        chosen = [case for case in found if ("tls" if given.tls else "plain") in case.rounds]
        if not chosen:
            _tell("no case of this round has such a name")
            return 2
        ready, missing = _ready([LANGUAGES[name] for name in given.languages or LANGUAGES])
        outcomes = _played(ready, chosen, given) if ready else {}
    except (CaseInvalid, DriverFailed) as failure:
        _tell(str(failure))
        return 2
    except Stopped as stopped:
        return 128 + stopped.signal
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if outcomes:
        _say(table(chosen, outcomes))
    for reason in missing:
        _tell(reason)
    return status(outcomes) or (2 if missing else 0)


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
        type=int,
        default=AT_ONCE,
        metavar="N",
        help="cases at the same time (default: %(default)s)",
    )
    parser.add_argument("--list", action="store_true", help="list the cases")
    return parser.parse_args()


def _language(name: str) -> str:
    if name not in LANGUAGES:
        raise argparse.ArgumentTypeError(f"there is no {name!r}, but {', '.join(LANGUAGES)}")
    return name


def _asked_for(case: Case, names: Sequence[str] | None) -> bool:
    return not names or any(case.name == text or fnmatchcase(case.name, f"*{text}*") for text in names)


def _ready(languages: Sequence[Language]) -> tuple[list[Language], list[str]]:
    """Those that have a runner, and why others have none."""
    ready, missing = [], []
    for language in languages:
        try:
            built(language, _tell)
            ready.append(language)
        except (BuildFailed, ToolsMissing) as failure:
            missing.append(str(failure))
    return ready, missing


def _played(languages: Sequence[Language], chosen: Sequence[Case], given: argparse.Namespace) -> Outcomes:
    with tempfile.TemporaryDirectory(prefix="antiphon-conformance-") as folder:
        suites = Suites(Path(folder), tls=given.tls)
        playing = play_all(languages, chosen, Path(folder), suites, _progress, max(1, given.at_once))
        return asyncio.run(until_told_to_stop(playing))


def _progress(language: str, case: str, outcome: Outcome) -> None:
    if not outcome.passed:
        _tell(f"{outcome.sign} {language} {case}: {outcome.why}")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
