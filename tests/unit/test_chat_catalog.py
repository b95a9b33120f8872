"""The catalog of models: what is on offer, and what is wrong with a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from services.chat.errors import ModelNotFound, ModelNotReady
from services.chat.model import Capability
from services.chat.providers.catalog import Endpoint, FileCatalog, load_catalog
from services.chat.providers.echo import EchoProvider
from services.kernel.startup import StartupError

Load = Callable[..., FileCatalog]
PROVIDER = '[providers.own]\nbase_url = "http://127.0.0.1:8080/v1"\n'
MODEL = '[[models]]\nname = "a"\nprovider = "own"\n'


class Made:
    """The endpoints that adapters were made for, by model."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    def __call__(self, endpoint: Endpoint, model: str) -> EchoProvider:
        self.endpoints[model] = endpoint
        return EchoProvider(0)


def load(
    path: Path | None,
    keys: Mapping[str, str] | None = None,
    base_urls: Mapping[str, str] | None = None,
    made: Made | None = None,
) -> FileCatalog:
    return load_catalog(path, base_urls or {}, keys or {}, made or Made(), EchoProvider(0))


def written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_key_the_built_in_catalog_answers_with_echo() -> None:
    catalog = load(None)
    assert catalog.default.name == "echo"
    assert list(catalog.models)[-1] == "echo"
    assert catalog.models["gpt-4o-mini"].not_ready_reason == "set OPENAI_API_KEY"
    with pytest.raises(ModelNotReady) as refused:
        catalog.find("gpt-4o-mini")
    assert "OPENAI_API_KEY" in refused.value.message
    assert catalog.known("gpt-4o-mini").name == "gpt-4o-mini"
    assert catalog.find("").name == "echo"


def test_a_key_makes_its_models_ready_and_the_first_of_them_the_default() -> None:
    made = Made()
    catalog = load(None, {"GITHUB_TOKEN": " ghp_x\n"}, made=made)
    assert catalog.default.name == "github/gpt-4o"
    assert made.endpoints["github/gpt-4o"].key == "ghp_x"
    assert catalog.models["github/gpt-4o"].upstream == "openai/gpt-4o"
    assert not catalog.models["gpt-4o"].ready
    assert load(None, {"GITHUB_TOKEN": "x", "OPENAI_API_KEY": "y"}).default.name == "gpt-4o-mini"
    assert Capability.TOOLS in catalog.models["gpt-4o"].capabilities


def test_a_provider_that_is_pointed_elsewhere_needs_no_key() -> None:
    made = Made()
    catalog = load(None, base_urls={"openai": "http://127.0.0.1:11434/v1"}, made=made)
    assert catalog.default.name == "gpt-4o-mini"
    assert made.endpoints["gpt-4o"] == Endpoint("openai", "http://127.0.0.1:11434/v1", None, "")


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", "a\0b"])
def test_a_key_that_no_header_can_carry_is_told_and_not_used(key: str) -> None:
    made = Made()
    catalog = load(None, {"OPENAI_API_KEY": key}, made=made)
    reason = catalog.models["gpt-4o"].not_ready_reason
    assert "OPENAI_API_KEY" in reason
    assert key not in reason
    assert made.endpoints["gpt-4o"].key is None


def test_an_unknown_model_is_told() -> None:
    with pytest.raises(ModelNotFound) as refused:
        load(None).find("no-such")
    assert "ListModels" in refused.value.message


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    text = PROVIDER + MODEL + 'context_tokens = 4096\ncapabilities = ["vision"]\n'
    text += '[[models]]\nname = "b"\nprovider = "own"\nupstream = "c"\ndescription = "das Zweite"\n'
    catalog = load(written(tmp_path, text))
    assert list(catalog.models) == ["a", "b", "echo"]
    first, second = catalog.models["a"], catalog.models["b"]
    assert (first.ready, first.context_tokens) == (True, 4096)
    assert first.capabilities == {Capability.VISION}
    assert (second.upstream, second.display_name, second.description) == ("c", "b", "das Zweite")


def test_an_empty_file_offers_echo(tmp_path: Path) -> None:
    assert list(load(written(tmp_path, "")).models) == ["echo"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = ", "is not TOML"),
        ("models = 5", "[[models]]"),
        ("providers = 5", "providers is no table"),
        ("[extra]\n", "'extra'"),
        ("[providers]\nown = 5", "provider 'own' is no table"),
        ("[providers.own]\n", "needs base_url"),
        ('[providers.own]\nbase_url = "ftp://x"', "http:// or https://"),
        ('[providers.own]\nbase_url = "https://"', "http:// or https://"),
        ('[providers.own]\nbase_url = "http://x:99999/"', "http:// or https://"),
        ('[providers.own]\nbase_url = "http://x/v1?key=1"', "without a query"),
        (PROVIDER + 'api_kye_env = "X"', "'api_kye_env'; known are api_key_env, base_url"),
        (MODEL, "names the provider 'own', which the file does not have"),
        ("models = [5]", "model 1 is no table"),
        ('[[models]]\nprovider = "own"', "model 1 needs name"),
        (PROVIDER + '[[models]]\nname = ""\nprovider = "own"', "model 1 needs name"),
        (PROVIDER + MODEL + MODEL, "'a' is taken already"),
        (PROVIDER + MODEL.replace('"a"', '"echo"'), "'echo' is taken already"),
        (PROVIDER + MODEL + "colour = 1", "model 'a' has 'colour'"),
        (PROVIDER + MODEL + "context_tokens = -1", "whole number"),
        (PROVIDER + MODEL + "context_tokens = true", "whole number"),
        (PROVIDER + MODEL + "context_tokens = 99999999999", "whole number"),
        (PROVIDER + MODEL + 'capabilities = ["telepathy"]', "known are tools"),
        (PROVIDER + MODEL + 'capabilities = "tools"', "list of texts"),
        (PROVIDER + MODEL + 'fallbacks = ["b"]', "has 'fallbacks'"),
        (PROVIDER + MODEL + "capabilities = [1]", "list of texts"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(StartupError) as refused:
        load(path)
    assert told in refused.value.message
    assert str(path) in refused.value.message
    assert refused.value.advice


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"# \xff")
    for path in (tmp_path / "absent.toml", tmp_path, tmp_path / "latin"):
        with pytest.raises(StartupError) as refused:
            load(path)
        assert str(path) in refused.value.message
