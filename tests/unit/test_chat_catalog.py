"""The catalog of models: what is on offer, and what is wrong with a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.capabilities.metering.model import Unit
from services.capabilities.upstream.catalogs import CatalogReload
from services.capabilities.upstream.errors import ModelNotReady
from services.capabilities.upstream.keys import normalized
from services.chat.errors import ModelNotFound
from services.chat.model import Capability
from services.chat.providers.catalog import Endpoint, FileCatalog, load_catalog
from services.chat.providers.echo import EchoProvider
from services.kernel.startup import StartupError

Load = Callable[..., FileCatalog]
KNOWN = (
    "capabilities, connect_timeout, context_tokens, description, display_name, fallbacks, family, first_token_timeout, "
    "idle_timeout, name, prices, provider, total_timeout, upstream"
)
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
        (
            PROVIDER + MODEL + 'fallbacks = ["b"]',
            ":6: model 'a' names the fallback 'b', which the file does not have",
        ),
        (PROVIDER + MODEL + 'fallbacks = ["echo"]', "names the fallback 'echo'"),
        (PROVIDER + MODEL + 'fallbacks = ["a"]', "names itself"),
        (PROVIDER + MODEL + 'fallbacks = "a"', "list of texts"),
        (PROVIDER + MODEL + "prices = 5", "needs a table for prices"),
        (
            PROVIDER + MODEL + "prices = { inptu = 5 }",
            "the price list of model 'a' has 'inptu'; known are cached_input",
        ),
        (PROVIDER + MODEL + "prices = { input = -5 }", "can't be negative"),
        (PROVIDER + MODEL + "prices = { input = nan }", "amount in USD"),
        (PROVIDER + MODEL + "prices = { input = inf }", "amount in USD"),
        (PROVIDER + MODEL + "prices = { input = true }", "amount in USD"),
        (PROVIDER + MODEL + 'prices = { input = "1,5" }', "amount in USD"),
        (PROVIDER + MODEL + "prices = { input = 0.0000000001 }", "nano-USD is the least"),
        (PROVIDER + MODEL + 'prices = { input = "1e-999999999" }', "nano-USD is the least"),
        (PROVIDER + MODEL + "prices = { input = 1e999999999 }", "more than 1000000 USD"),
        (PROVIDER + MODEL + 'idle_timeout = "soon"', "idle_timeout, which has to be a duration"),
        (PROVIDER + MODEL + 'total_timeout = "0s"', "duration above zero"),
        (PROVIDER + "connect_timeout = inf", "provider 'own' is wrong in connect_timeout"),
        (PROVIDER + MODEL + 'family = "gtp"', "known are o200k"),
        (PROVIDER + MODEL + 'upstream = ""', "empty upstream"),
        (PROVIDER + 'api_key_env = "sk-abc"', "a variable's name"),
        ("a = 1\nb = [1,\n2\n", ":2: this is not TOML: Unclosed array"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a = " + "1" * 5000, "number is too long"),
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
    (tmp_path / "huge.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(StartupError, match="larger than 1 MiB"):
        load(tmp_path / "huge.toml")


def test_a_key_in_the_place_of_its_name_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as refused:
        load(written(tmp_path, PROVIDER + 'api_key_env = "sk-secret"\n'))
    assert "sk-secret" not in str(refused.value)


def test_all_that_an_entry_may_say(tmp_path: Path) -> None:
    made = Made()
    text = PROVIDER + 'idle_timeout = "20s"\ntotal_timeout = 300\n'
    text += MODEL + 'fallbacks = ["b"]\nfamily = "qwen"\nidle_timeout = "1m30s"\n'
    text += '[models.prices]\ninput = "2.50"\noutput = 10\ncached_input = 0.3\nreasoning = "0.000000001"\n'
    text += '[[models]]\nname = "b"\nprovider = "own"\nupstream = "openai/gpt-4o"\n'
    models = load(written(tmp_path, text), made=made).models
    first, second = models["a"], models["b"]
    assert first.fallbacks == ("b",)
    assert first.prices == {
        Unit.INPUT_TOKENS: 2_500_000_000,
        Unit.OUTPUT_TOKENS: 10_000_000_000,
        Unit.CACHED_INPUT_TOKENS: 300_000_000,
        Unit.REASONING_TOKENS: 1,
    }
    assert (first.family, second.family, models["echo"].family) == ("qwen", "o200k", "generic")
    assert (first.total_timeout, made.endpoints["a"].timeouts.idle) == (300, 90)
    assert (second.total_timeout, made.endpoints["b"].timeouts.idle) == (300, 20)
    assert made.endpoints["a"].timeouts.connect is None
    assert first.endpoint == second.endpoint == "http://127.0.0.1:8080/v1"
    assert (second.prices, second.fallbacks, models["echo"].endpoint) == ({}, (), "")


def test_ways_to_write_an_address_are_one_endpoint() -> None:
    assert {
        normalized(f"{start}/v1{end}")
        for start in ("https://Example.com", "HTTPS://example.com:443", "https://me:secret@example.com")
        for end in ("", "/", "//")
    } == {"https://example.com/v1"}
    assert normalized("http://[::1]:8080/") == "http://[::1]:8080"


def test_several_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = PROVIDER + MODEL + 'fallbacks = [\n  "b", # is there\n  "c",\n]\nidle_timeout = 0\n\n'
    text += '[[models]]\nname = "b"\nprovider = "other"\n'
    path = written(tmp_path, text)
    with pytest.raises(StartupError) as refused:
        load(path)
    lines = refused.value.message.splitlines()
    assert [line.removeprefix(f"{path}:").split(":")[0] for line in lines] == ["8", "10", "14"]
    path = written(tmp_path, PROVIDER + "".join(f"x{number} = 1\n" for number in range(14)))
    with pytest.raises(StartupError) as refused:
        load(path)
    assert len(refused.value.message.splitlines()) == 11
    assert refused.value.message.endswith("And 4 more.")


def test_another_catalog_takes_the_place_of_one_and_tells_what_changed(tmp_path: Path) -> None:
    other = '[[models]]\nname = "{}"\nprovider = "own"\n'
    path = written(tmp_path, PROVIDER + MODEL + other.format("b") + other.format("c"))
    catalog = load(path)
    kept, gone, before = catalog.find("a"), catalog.find("b"), catalog.models
    written(tmp_path, PROVIDER + MODEL + other.format("c") + 'connect_timeout = "3s"\n' + other.format("d"))
    changes = catalog.replace(load(path))
    assert (changes.added, changes.removed, changes.changed) == (("d",), ("b",), ("c",))
    assert list(catalog.models) == ["a", "c", "d", "echo"]
    assert catalog.find("a") is kept
    with pytest.raises(ModelNotFound):
        catalog.find("b")
    # Who holds a model, or looks through them, is not disturbed.
    assert gone.ready
    assert list(before) == ["a", "b", "c", "echo"]
    changes = catalog.replace(load(path))
    assert (changes.added, changes.removed, changes.changed) == ((), (), ())
    changes = catalog.replace(load(path, base_urls={"own": "http://127.0.0.1:9/v1"}))
    assert changes.changed == ("a", "c", "d")


async def test_a_reload_puts_a_good_file_in_force_and_leaves_a_broken_one_alone(tmp_path: Path) -> None:
    path = written(tmp_path, PROVIDER + MODEL)
    catalog = load(path)
    reload = CatalogReload("chat", catalog, lambda: load(path))
    written(tmp_path, PROVIDER + MODEL + "colour = 1\n")
    with capture_logs() as logs:
        await reload()
    assert [(line["log_level"], line["problems"]) for line in logs] == [
        ("error", [f"{path}:6: model 'a' has 'colour'; known are {KNOWN}."])
    ]
    assert list(catalog.models) == ["a", "echo"]
    written(tmp_path, PROVIDER + MODEL.replace('"a"', '"z"'))
    with capture_logs() as logs:
        await asyncio.gather(reload(), reload())
    assert [(line["added"], line["removed"], line["changed"]) for line in logs] == [
        (["z"], ["a"], []),
        ([], [], []),
    ]
    assert catalog.default.name == "z"
