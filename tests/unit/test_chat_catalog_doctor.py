"""What the doctor says of a catalog."""

from __future__ import annotations

from pathlib import Path

from services.bootstrap.diagnosis import diagnose
from services.bootstrap.findings import Finding, Verdict
from services.settings import Settings

CATALOG = """
[providers.own]
base_url = "http://127.0.0.1:9/v1"

[providers.away]
base_url = "http://127.0.0.1:9/v1"
api_key_env = "AWAY_KEY"

[[models]]
name = "a"
provider = "own"
fallbacks = ["b"]

[[models]]
name = "b"
provider = "away"
"""


async def models(folder: Path, text: str | None, **environ: str) -> Finding:
    given = {"ANTIPHON_SERVER__PORT": "0", "ANTIPHON_METRICS__ADDRESS": "off"}
    if text is not None:
        (folder / "models.toml").write_text(text)
        given["ANTIPHON_CHAT__MODELS_FILE"] = str(folder / "models.toml")
    settings = Settings.load(
        {**given, **{name: value for name, value in environ.items() if name.startswith("OPENAI_")}}, folder
    )
    return {finding.name: finding async for finding in diagnose(settings, environ)}["models"]


async def test_a_fallback_that_is_not_ready_is_told(tmp_path: Path) -> None:
    found = await models(tmp_path, CATALOG)
    assert found.verdict is Verdict.NOTE
    assert "passed over as fallbacks: b" in found.detail
    assert "set AWAY_KEY" in found.advice
    assert (await models(tmp_path, CATALOG, AWAY_KEY="x")).verdict is Verdict.GOOD


async def test_the_built_in_fallbacks_need_no_second_key(tmp_path: Path) -> None:
    found = await models(tmp_path, None, OPENAI_API_KEY="x", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert (found.verdict, found.detail) == (Verdict.GOOD, "ready: gpt-4o-mini, gpt-4o, echo")


async def test_a_broken_catalog_is_told_with_its_lines(tmp_path: Path) -> None:
    found = await models(tmp_path, CATALOG + "colour = 1\nidle_timeout = 0\n")
    assert found.verdict is Verdict.BAD
    assert [line.rpartition("models.toml:")[2].split(":")[0] for line in found.detail.splitlines()] == [
        "17",
        "18",
    ]
