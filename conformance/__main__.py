"""`python -m conformance`: builds the runners, plays the cases, prints the table; ends with 1 when anything differs."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from conformance.driver import cases
from conformance.driver.building import built
from conformance.driver.certificates import make
from conformance.driver.failures import BuildFailed, CaseInvalid, DriverFailed, ToolsMissing
from conformance.driver.languages import LANGUAGES
from conformance.driver.round import AT_ONCE, play_all
from conformance.driver.table import Outcome, all_passed, table


def main() -> int:
    """The exit status: 0 when all is as expected, 1 when not, 2 when it could not be found out."""
    given = _arguments()
    # So that suites end with a driver that is asked to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        chosen = [
            case
            for case in cases.read()
            if not given.case
            or any(case.name == text or fnmatchcase(case.name, f"*{text}*") for text in given.case)
        ]
        if given.list:
            _say("\n".join(f"{case.name}: {case.says}" for case in chosen))
            return 0
        if not chosen:
            _say("no case has such a name")
            return 2
        languages = [LANGUAGES[name] for name in given.languages or LANGUAGES]
        for language in languages:
            built(language, _tell)
        with tempfile.TemporaryDirectory(prefix="antiphon-conformance-") as folder:
            tls = make(Path(folder) / "certificates") if given.tls else None
            outcomes = asyncio.run(
                play_all(languages, chosen, Path(folder), tls, _progress, max(1, given.at_once))
            )
    except (BuildFailed, CaseInvalid, DriverFailed, ToolsMissing) as failure:
        _tell(str(failure))
        return 2
    _say(table(chosen, outcomes))
    return 0 if all_passed(outcomes) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("languages", nargs="*", choices=[*LANGUAGES, []], help="default: all")
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


def _progress(language: str, case: str, outcome: Outcome) -> None:
    if not outcome.passed:
        why = "; ".join(outcome.differences) or outcome.left_out
        _tell(f"{outcome.sign} {language} {case}: {why}")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
