"""The catalogs that the documentation shows can be used as they are, and what it says of the file is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from services.chat.generation.token_weights import ERRORS
from services.chat.generation.tokens import FAMILIES
from services.chat.providers import catalog_file
from services.chat.providers.catalog import load_catalog
from services.chat.providers.echo import EchoProvider

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "models.md").read_text(encoding="utf-8")
EXAMPLES = sorted((DOCS / "models").glob("*.toml"))
KEYS = {"OPENAI_API_KEY": "x", "GITHUB_TOKEN": "x", "VLLM_API_KEY": "x"}
ECHO = EchoProvider(0)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_used_as_it_is(path: Path) -> None:
    catalog = load_catalog(path, {}, KEYS, lambda _endpoint, _model: ECHO, ECHO)
    models = [model for model in catalog.models.values() if model.name != "echo"]
    assert models
    assert all(model.ready and model.context_tokens and model.endpoint for model in models)
    assert catalog.default is models[0]
    # Whose tokenizer it is follows from the name, and is known to be measured for all but Gemma.
    assert {model.family for model in models} <= {*ERRORS, "gemma"} - {"generic"}
    assert f"(models/{path.name})" in PAGE


def test_each_usual_provider_has_its_example() -> None:
    assert [path.stem for path in EXAMPLES] == ["github-models", "llama-cpp", "ollama", "openai", "vllm"]


def test_every_key_of_the_file_is_documented() -> None:
    known = (
        catalog_file._PROVIDER_KEYS
        | catalog_file._MODEL_KEYS
        | {"input", "output", "cached_input", "reasoning"}
    )
    assert {key for key in known if f"`{key}`" not in PAGE} == set()
    for block in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        assert tomllib.loads(block)


def test_the_errors_of_estimates_are_told_as_they_were_measured() -> None:
    for family, (median, most) in ERRORS.items():
        assert re.search(rf"^\| `{family}`.*\| {median} \| {most} \|$", PAGE, re.MULTILINE), family
    assert {family for family in FAMILIES if f"`{family}`" not in PAGE} == set()


def test_the_built_in_models_stand_in_for_one_another() -> None:
    catalog = load_catalog(None, {}, KEYS, lambda _endpoint, _model: ECHO, ECHO)
    assert catalog.models["gpt-4o"].fallbacks == ("github/gpt-4o",)
    assert catalog.models["github/gpt-4o"].fallbacks == ("gpt-4o",)
    assert catalog.models["gpt-4o"].endpoint != catalog.models["github/gpt-4o"].endpoint
