"""Runs the benchmarks and prints their table: `python -m bench [GOAL…] [--full]`; a goal is one of GOALS below.

The short form takes six minutes, and its figures are a glance; `--full` takes about half an hour, and writes bench/RESULTS.md. Figures are
never a reason to fail: the exit status tells only whether the programs worked.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import (
    bursts,
    chat_streams,
    clients,
    images,
    limits_cost,
    login_timing,
    machine,
    metering,
    resume,
    speech,
    unary,
    whole_answers,
)
from bench.figures import Result, table
from bench.processes import BenchmarkFailed
from bench.stage import Stage, stage
from services.kernel.startup import StartupError

GOALS = ("P1", "P2", "P3", "P4", "P6", "P7", "P9", "P11", "LIMITS", "LOGIN", "IMAGES", "SPEECH", "CLIENTS")
ON_STAGE = {"P2", "P3", "P4", "P6", "P9", "P11", "CLIENTS"}
RESULTS = Path(__file__).with_name("RESULTS.md")


async def measured(goals: Sequence[str], cores: machine.Cores, *, full: bool) -> list[Result]:
    """The results of these goals, in their order. Raises BenchmarkFailed and StartupError."""
    results: list[Result] = []
    if "P1" in goals:
        _say("P1: unary calls …")
        results += await unary.measure(cores, unary.FULL if full else unary.SHORT, _say)
    if set(goals) & ON_STAGE:
        async with stage(cores) as played:
            results += await _on_stage(played, goals, cores, full=full)
    if "P7" in goals:
        _say("P7: usage events …")
        results += await metering.measure(cores, metering.FULL if full else metering.SHORT, _say)
    if "LIMITS" in goals:
        _say("LIMITS: what counting calls costs …")
        results += await limits_cost.measure(limits_cost.FULL if full else limits_cost.SHORT)
    if "LOGIN" in goals:
        _say("LOGIN: refused logins …")
        results += await login_timing.measure(cores, login_timing.FULL if full else login_timing.SHORT, _say)
    if "IMAGES" in goals:
        _say("IMAGES: 200 images at once …")
        results += await images.measure(cores, images.FULL if full else images.SHORT)
    if "SPEECH" in goals:
        _say("SPEECH: texts that are spoken …")
        results += await speech.measure(cores, speech.FULL if full else speech.SHORT)
    return results


async def _on_stage(played: Stage, goals: Sequence[str], cores: machine.Cores, *, full: bool) -> list[Result]:
    results: list[Result] = []
    if set(goals) & {"P2", "P3", "P11"}:
        _say("P2, P3, P11: streamed answers …")
        extent = chat_streams.FULL if full else chat_streams.SHORT
        results += await chat_streams.measure(played, extent, goals)
    if "P4" in goals:
        _say("P4: answers in bursts …")
        results += await bursts.measure(played, cores, bursts.FULL if full else bursts.SHORT)
    if "P6" in goals:
        _say("P6: whole answers …")
        results += await whole_answers.measure(played, whole_answers.FULL if full else whole_answers.SHORT)
    if "P9" in goals:
        _say("P9: answers that are gone on with …")
        results += await resume.measure(played, cores, resume.FULL if full else resume.SHORT)
    if "CLIENTS" in goals:
        _say("CLIENTS: the clients of all languages …")
        results += await clients.measure(played, clients.FULL if full else clients.SHORT, _say)
    return results


def report(results: Sequence[Result], cores: machine.Cores, seconds: float) -> str:
    """The table, what it was measured on, and the absolute figures behind it."""
    notes = [f"- {result.goal.name}: {result.note}" for result in results if result.note]
    about = [f"- {line}" for line in machine.describe(cores)]
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = f"- {now}, {seconds:.0f} s; load of the machine at the end, this run included: {os.getloadavg()[1]:.1f}"
    return "\n".join([table(results), "", *notes, *about, load, ""])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the suite against its goals."
    )
    parser.add_argument("goals", nargs="*", metavar="GOAL", help=f"{', '.join(GOALS)}; all when left out")
    parser.add_argument("--full", action="store_true", help="more rounds; writes bench/RESULTS.md")
    arguments = parser.parse_args()
    goals = [goal.upper() for goal in arguments.goals] or list(GOALS)
    if not set(goals) <= set(GOALS):
        parser.error(f"goals are {', '.join(GOALS)}")
    cores, began = machine.share_cores(), time.monotonic()
    machine.keep_to(cores.others)
    gc.freeze()
    try:
        results = uvloop.run(measured(goals, cores, full=arguments.full))
    except (BenchmarkFailed, StartupError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    text = report(results, cores, time.monotonic() - began)
    print(f"\n{text}")
    if arguments.full and set(goals) == set(GOALS):
        RESULTS.write_text(f"{_INTRODUCTION}\n{text}", encoding="utf-8")
        _say(f"written to {RESULTS}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_INTRODUCTION = """# Results of the last full run

`make bench ARGS=--full` wrote this. Every row is a comparison within the run, in rounds that take turns; what counts is the median.

- P1 compares calls per second of the server's processor time, which a busy machine disturbs less than the time on the wall. The call is
  GetSession, answered from memory, by 64 callers on one connection. FastAPI answers the same over HTTP, verifying the token on each call.
- P2, P3 and P11: a scripted upstream sends 20 tokens a second per answer, each carrying the moment of its sending. Every call has a
  request_id and opens a session. The added time to the first token is the difference of the quantiles of StreamChat and of the upstream
  itself. P11 is the difference of the median time that a token is under way, with the record and without its events being stored.
- P4: a scripted upstream sends 4,000 chunks per answer as fast as they are taken, 200 in one write. The relay reads in the same way, and has
  neither authentication nor a record.
- P6: the model's single token comes after 20 ms; each call has a request_id and opens a session. Calls of the upstream, the client and
  PostgreSQL share the other core.
- P7: events are those of 1,000 people with two models each. What is delivered is taken from an outbox by the relay, stored, counted and
  folded into the figures; the processor time is that of the process which does it in Python, and PostgreSQL's is told beside it. By RPC it is
  that of the process of Analytics. Questions are asked by RPC, one at a time, about a span that begins and ends within minutes; their time is
  the median. Loaded events are made by the database, evenly over 30 days, and their figures by the store from them, as a repair does.
- P9: a second replica is on the other core, with the clients, the upstream and PostgreSQL. Of a token that came to a watcher of its owner and
  to one of the other replica, the lag is the time between the two; the first second of each answer counts, too.
- LIMITS: the interceptor that counts calls, around a servicer that answers at once, against the same with limits off. In PostgreSQL, calls
  that arrive while a statement is under way share the next one.
- LOGIN is how far the ratio of two medians is from 1: that of 200 logins with an e-mail that has an account, and of 200 with one that has
  none, all with a wrong password, in random order, each from an address of its own.
- IMAGES: 20 people ask at once for 200 pictures of 256x256 that `procedural` makes, with prompts and seeds of their own. The suite may use all
  cores, which it shares with the callers and PostgreSQL; the lag is what the suite's page of metrics tells. The lag alone has a goal of the
  design; what is wanted of the others is there so that a change for the worse is seen.
- CLIENTS: a caller of GetProfile makes its next call when the last is answered; one of StreamChat reads one answer of `echo` after the other,
  which does not pause between its words, by the client's stream helper. All callers of a language are in one process and on one client, on
  the core where PostgreSQL is, too. The suite makes one message of words that wait for the record or for the reader. With 16 callers it is
  mostly the suite that is slow; how clients differ is in their processor time. What is wanted is there so that a change for the worse is seen.
"""

if __name__ == "__main__":
    main()
