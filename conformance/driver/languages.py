"""The languages that have a client: where its runner is, how it is built, what starts it, and which tools that takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = os.pathsep.join(map(str, (ROOT, ROOT / "gen" / "python", ROOT / "clients" / "python")))
"""Where Python finds this checkout's suite, stubs and client, whatever else is installed."""
_BUILT = ROOT / "build" / "conformance"


@dataclass(frozen=True, slots=True)
class Language:
    """A client's language. `build` are the commands that make its runner, in their order, and `run` is what starts it, both in `folder`;
    `sources` is what a build depends on, beside `protos`."""

    name: str
    folder: Path
    run: Sequence[str]
    build: Sequence[Sequence[str]] = ()
    tools: Sequence[str] = ()
    sources: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


LANGUAGES: Mapping[str, Language] = {
    each.name: each
    for each in (
        Language(
            "python",
            ROOT,
            [sys.executable, "-m", "conformance.runners.python"],
            environment={"PYTHONPATH": PYTHON_PATH, "PYTHONUNBUFFERED": "1"},
        ),
        Language(
            "python-sync",
            ROOT,
            [sys.executable, "-m", "conformance.runners.python", "sync"],
            environment={"PYTHONPATH": PYTHON_PATH, "PYTHONUNBUFFERED": "1"},
        ),
        Language(
            "go",
            ROOT / "conformance" / "runners" / "go",
            [str(_BUILT / "go" / "runner")],
            build=[["go", "build", "-o", str(_BUILT / "go" / "runner"), "."]],
            tools=["go"],
            sources=["clients/go"],
        ),
        Language(
            "typescript",
            ROOT / "clients" / "typescript",
            ["node", "build/runner/main.js"],
            build=[["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]],
            tools=["node", "npm"],
            sources=["conformance/runners/typescript"],
        ),
        Language(
            "java",
            ROOT / "conformance" / "runners" / "java",
            [
                "java",
                "-cp",
                "target/antiphon-conformance-0.1.0.jar:target/lib/*",
                "dev.antiphon.conformance.Runner",
            ],
            build=[["mvn", "-B", "-q", "-f", "reactor.xml", "package"]],
            tools=["java", "mvn"],
            sources=["clients/java"],
        ),
        Language(
            "rust",
            ROOT / "conformance" / "runners" / "rust",
            [str(ROOT / "build" / "rust" / "debug" / "antiphon-conformance")],
            build=[["cargo", "build", "--target-dir", str(ROOT / "build" / "rust")]],
            tools=["cargo"],
            sources=["clients/rust"],
        ),
    )
}
