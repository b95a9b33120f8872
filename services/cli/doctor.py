"""Check what a start needs, and say what to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import AsJson
from services.cli.output import print_json, reporting
from services.settings import Settings, environment

if TYPE_CHECKING:
    from services.bootstrap.findings import Finding

_MARKS = {"ok": "✓", "note": "!", "failed": "✗"}


def doctor(
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="What is kept there is looked at.", show_default=False),
    ] = None,
    show_settings: Annotated[
        bool, typer.Option("--settings", help="Show every setting, without secrets.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, database, keys, models and ports, and say what to do. Nothing is changed.

    \b
    Example:
      antiphon doctor --settings
    """
    with reporting(as_json):
        settings = Settings.load(overrides={} if data_dir is None else {"ANTIPHON_DATA_DIR": str(data_dir)})
        findings = asyncio.run(_findings(settings, tell=not as_json))
        if as_json:
            print_json(
                {"findings": [_as_json(finding) for finding in findings], "settings": settings.redacted()}
            )
        elif show_settings:
            print()
            for name, value in settings.redacted().items():
                print(f"{name}={value}")
        if any(finding.verdict.value == "failed" for finding in findings):
            raise typer.Exit(1)


async def _findings(settings: Settings, *, tell: bool) -> list[Finding]:
    from services.bootstrap.diagnosis import diagnose

    findings = []
    async for finding in diagnose(settings, environment()):
        findings.append(finding)
        if tell:
            first, *more = finding.detail.splitlines() or [""]
            print(f"{_MARKS[finding.verdict.value]} {finding.name}: {first}", flush=True)
            for line in (*more, *finding.advice.splitlines()):
                print(f"  {line}")
    return findings


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "name": finding.name,
        "verdict": finding.verdict.value,
        "detail": finding.detail,
        "advice": finding.advice,
    }
