"""The catalog of image models: what is on offer, and what is wrong with a file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.capabilities.upstream.catalogs import CatalogReload
from services.capabilities.upstream.errors import ModelNotReady
from services.image.errors import ModelNotFound
from services.image.model import Size
from services.image.ports import ImageProvider
from services.image.providers import catalog_file
from services.image.providers.catalog import Endpoint, FileCatalog, configured_catalog, load_catalog
from services.image.providers.catalog_file import Protocol, ResponseFormat
from services.image.providers.procedural import ProceduralImages
from services.kernel.startup import StartupError
from services.settings import ChatSettings, ImageSettings, SecretStr, Settings
from tests.fakes.image_codecs import PlainCodecs

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "image-models.md").read_text(encoding="utf-8")
EXAMPLES = sorted((DOCS / "image-models").glob("*.toml"))
PROVIDER = '[providers.own]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:8080/v1"\n'
MODEL = '[[models]]\nname = "a"\nprovider = "own"\nsizes = ["512x512"]\n'
PROCEDURAL = ProceduralImages(PlainCodecs())


class Made:
    """The endpoints that adapters were made for, by model."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    def __call__(self, endpoint: Endpoint) -> ImageProvider:
        self.endpoints[endpoint.model] = endpoint
        return ProceduralImages(PlainCodecs())


def load(
    path: Path | None,
    keys: Mapping[str, str] | None = None,
    base_urls: Mapping[str, str] | None = None,
    made: Made | None = None,
) -> FileCatalog:
    return load_catalog(path, base_urls or {}, keys or {}, made or Made(), PROCEDURAL, 120)


def written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_key_only_procedural_is_ready_and_others_say_what_they_need() -> None:
    catalog = load(None)
    assert [model.name for model in catalog.models.values() if model.ready] == ["procedural"]
    assert list(catalog.models)[-1] == catalog.default.name == catalog.find("").name == "procedural"
    assert {model.provider_name: model.not_ready_reason for model in catalog.models.values()} == {
        "openai": "set OPENAI_API_KEY",
        "huggingface": "set HF_TOKEN",
        "pollinations": "set POLLINATIONS_API_URL=https://image.pollinations.ai/prompt",
        "procedural": "",
    }
    with pytest.raises(ModelNotReady, match="HF_TOKEN"):
        catalog.find("stable-diffusion-3.5-large")
    with pytest.raises(ModelNotFound, match="ListModels"):
        catalog.find("no-such")


def test_procedural_says_what_it_is() -> None:
    model = load(None).models["procedural"]
    assert "does not depict" in model.description
    assert list(map(str, model.sizes)) == [
        "512x512",
        "256x256",
        "768x768",
        "1024x1024",
        "1024x768",
        "768x1024",
    ]
    assert list(map(str, model.anonymous_sizes)) == ["512x512", "256x256"]
    assert (model.maximum_count, model.takes_seed, model.takes_negative_prompt) == (10, True, False)
    assert model.prices == {"": 0}
    assert model.provider is PROCEDURAL
    assert list(model.styles) == ["realistic", "anime", "digital-art", "watercolor", "sketch", "pixel-art"]


def test_what_the_built_in_models_are() -> None:
    models = load(None).models
    assert {name: model.upstream for name, model in models.items()} == {
        "gpt-image-2.5-sunburst": "gpt-image-2.5-sunburst",
        "gpt-image-1": "gpt-image-1",
        "dall-e-3": "dall-e-3",
        "dall-e-2": "dall-e-2",
        "stable-diffusion-3.5-large": "stabilityai/stable-diffusion-3.5-large",
        "flux": "flux",
        "procedural": "procedural",
    }
    assert models["gpt-image-1"].prices == {"1024x1024": 42_000_000, "": 63_000_000}
    assert models["dall-e-3"].prices == {"1024x1024": 40_000_000, "": 80_000_000}
    assert models["dall-e-2"].prices == {
        "1024x1024": 20_000_000,
        "512x512": 18_000_000,
        "256x256": 16_000_000,
    }
    assert models["dall-e-2"].anonymous_sizes == (Size(512, 512), Size(256, 256))
    assert models["dall-e-3"].anonymous_sizes == ()
    assert models["dall-e-3"].maximum_count == 1
    assert models["flux"].takes_seed
    assert models["flux"].styles == models["procedural"].styles


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "HF_TOKEN"])
def test_whoever_sets_a_key_gets_no_model_by_default_that_its_provider_has_retired(variable: str) -> None:
    default = load(None, {variable: "a-key"}).default
    assert default.name != "procedural"
    assert "Retired" not in default.description


def test_the_settings_have_the_keys_and_the_addresses() -> None:
    made = Made()
    settings = Settings(
        chat=ChatSettings(openai_api_key=SecretStr("sk-1"), openai_base_url="http://127.0.0.1:1/v1"),
        image=ImageSettings(hf_token=SecretStr("hf-1"), pollinations_url="http://127.0.0.1:2/p", timeout=7),
    )
    catalog = configured_catalog(settings, {}, made, PROCEDURAL)
    assert all(model.ready and model.timeout == 7 for model in catalog.models.values())
    found = {one.provider: (one.protocol, one.base_url, one.key) for one in made.endpoints.values()}
    assert found == {
        "openai": (Protocol.OPENAI, "http://127.0.0.1:1/v1", "sk-1"),
        "huggingface": (Protocol.HUGGINGFACE, "https://router.huggingface.co/hf-inference", "hf-1"),
        "pollinations": (Protocol.POLLINATIONS, "http://127.0.0.1:2/p", None),
    }


def test_an_address_for_chat_alone_offers_no_images() -> None:
    settings = Settings(chat=ChatSettings(openai_base_url="http://127.0.0.1:11434/v1"))
    assert configured_catalog(settings, {}, Made(), PROCEDURAL).default.name == "procedural"


def test_an_address_with_a_password_in_it_is_not_used_and_not_told() -> None:
    catalog = load(None, {"OPENAI_API_KEY": "x"}, {"openai": "http://me:secret@127.0.0.1/v1"})
    reason = catalog.models["gpt-image-1"].not_ready_reason
    assert "password" in reason
    assert "secret" not in reason


def test_all_that_an_entry_may_say(tmp_path: Path) -> None:
    made = Made()
    text = '[styles]\nink = "in ink"\noil = "in oil"\n'
    text += (
        PROVIDER
        + 'api_key_env = "OWN_KEY"\nimage_origins = ["http://127.0.0.1:9"]\ntimeout = "5m"\nconnect_timeout = 2\n'
    )
    text += MODEL.replace('["512x512"]', '["1024x768", "256x256", "512x512"]')
    text += 'upstream = "b"\ndisplay_name = "A"\ndescription = "das Erste"\nstyles = ["oil"]\nmaximum_count = 10\nseed = true\n'
    text += 'negative_prompt = true\nresponse_format = "url"\nquality = "low"\ntimeout = "90s"\n'
    text += 'prices = { "1024x768" = "0.000000001", default = 0.02 }\n'
    text += '[[models]]\nname = "c"\nprovider = "own"\nsizes = ["64x64"]\n'
    models = load(written(tmp_path, text), {"OWN_KEY": " k\n"}, made=made).models
    first, second = models["a"], models["c"]
    assert (first.upstream, first.display_name, first.description) == ("b", "A", "das Erste")
    assert first.sizes == (Size(1024, 768), Size(256, 256), Size(512, 512))
    assert first.anonymous_sizes == (Size(256, 256), Size(512, 512))
    assert first.styles == {"oil": "in oil"}
    assert (first.maximum_count, first.takes_seed, first.takes_negative_prompt) == (10, True, True)
    assert first.prices == {"1024x768": 1, "": 20_000_000}
    assert (first.timeout, second.timeout, models["procedural"].timeout) == (90, 300, 120)
    endpoint = made.endpoints["a"]
    assert (endpoint.key, endpoint.image_origins) == ("k", ("http://127.0.0.1:9",))
    assert (endpoint.response_format, endpoint.quality) == (ResponseFormat.URL, "low")
    assert (endpoint.timeouts.connect, endpoint.timeouts.total) == (2, 90)
    assert (second.upstream, second.display_name, second.maximum_count) == ("c", "c", 1)
    assert (second.takes_seed, second.takes_negative_prompt, second.prices) == (False, False, {})
    assert second.styles == models["procedural"].styles == {"ink": "in ink", "oil": "in oil"}
    assert made.endpoints["c"].response_format is ResponseFormat.B64_JSON


def test_an_empty_file_offers_procedural(tmp_path: Path) -> None:
    assert list(load(written(tmp_path, "")).models) == ["procedural"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = ", ":1: this is not TOML"),
        ("[extra]\n", "'extra'; known are models, providers, styles"),
        ("styles = 5", "styles is no table"),
        ("[styles]\nink = 5", ":2: the table of styles needs ink, a text"),
        ('[styles]\n"" = "x"', "a name that is empty"),
        ('[providers.own]\nprotocol = "openai"', ":1: provider 'own' needs base_url"),
        ('[providers.own]\nbase_url = "http://x"', "provider 'own' needs protocol"),
        (
            PROVIDER.replace('"openai"', '"grpc"'),
            ":2: provider 'own' has the protocol 'grpc'; known are openai, pollin",
        ),
        (PROVIDER + "idle_timeout = 5", "'idle_timeout'; known are api_key_env"),
        (PROVIDER + 'image_origins = ["https://x", "https://x/images"]', "without a path"),
        (PROVIDER + 'image_origins = "https://x"', "list of texts"),
        (PROVIDER + 'image_origins = ["x"]', "without a path"),
        (PROVIDER + 'image_origins = ["https://me:secret@x"]', "without a path"),
        (MODEL, "names the provider 'own', which the file does not have"),
        (PROVIDER + MODEL.replace('"a"', '"procedural"'), "'procedural' is taken already"),
        (PROVIDER + MODEL + "colour = 1", "model 'a' has 'colour'"),
        (PROVIDER + MODEL.replace('["512x512"]', "[]"), ":7: model 'a' needs sizes"),
        (PROVIDER + MODEL.replace('sizes = ["512x512"]', ""), "needs sizes"),
        (PROVIDER + MODEL.replace('["512x512"]', '"512x512"'), "list of texts for sizes"),
        (PROVIDER + MODEL.replace("512x512", "512×512"), "written as 1024x768"),
        (PROVIDER + MODEL.replace("512x512", "0x512"), "written as 1024x768"),
        (PROVIDER + MODEL.replace('["512x512"]', '["64x64", "64x64"]'), "64x64 twice"),
        (PROVIDER + MODEL + 'styles = ["ink"]', "style 'ink', which [styles] does not have"),
        (PROVIDER + MODEL + "maximum_count = 0", "from 1 to 10"),
        (PROVIDER + MODEL + "maximum_count = 11", "from 1 to 10"),
        (PROVIDER + MODEL + "maximum_count = true", "from 1 to 10"),
        (PROVIDER + MODEL + "seed = 1", "seed, which has to be true or false"),
        (PROVIDER + MODEL + 'negative_prompt = "yes"', "true or false"),
        (PROVIDER + MODEL + 'prices = { "64x64" = 1 }', "has '64x64'; known are 512x512, default"),
        (PROVIDER + MODEL + 'prices = { "512x512" = -1 }', "can't be negative"),
        (PROVIDER + MODEL + 'prices = "0.04"', "needs a table for prices"),
        (PROVIDER + MODEL + 'timeout = "soon"', "timeout, which has to be a duration"),
        (PROVIDER + MODEL + 'response_format = "png"', "known are b64_json, url, none"),
        (
            PROVIDER.replace('"openai"', '"huggingface"') + MODEL + 'quality = "low"',
            "only the protocol openai knows",
        ),
        (PROVIDER + 'api_key_env = "sk-abc"', "a variable's name"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(StartupError) as refused:
        load(path)
    assert told in refused.value.message
    assert refused.value.message.startswith(f"{path}:")
    assert "docs/image-models.md" in refused.value.advice
    assert "secret" not in refused.value.message


def test_a_file_that_is_not_there_is_told_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as refused:
        load(tmp_path / "absent.toml")
    assert "ANTIPHON_IMAGE__MODELS_FILE" in refused.value.advice


async def test_a_reload_keeps_what_is_the_same_and_tells_what_is_not(tmp_path: Path) -> None:
    other = MODEL.replace('"a"', '"b"')
    path = written(tmp_path, PROVIDER + MODEL + other)
    catalog = load(path)
    kept = catalog.find("a")
    reload = CatalogReload("image", catalog, lambda: load(path))
    # What the adapter alone knows is a change, too.
    written(tmp_path, PROVIDER + MODEL + other + 'quality = "low"\n')
    with capture_logs() as logs:
        await reload()
    assert [(line["service"], line["added"], line["removed"], line["changed"]) for line in logs] == [
        ("image", [], [], ["b"])
    ]
    assert catalog.find("a") is kept


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_used_as_it_is(path: Path) -> None:
    catalog = load(path)
    assert catalog.default.ready
    assert catalog.default.name != "procedural"
    assert catalog.default.anonymous_sizes
    assert f"(image-models/{path.name})" in PAGE


def test_what_the_documentation_says_of_the_file_is_so() -> None:
    assert [path.stem for path in EXAMPLES] == ["localai", "stable-diffusion-cpp"]
    known = catalog_file._PROVIDER_KEYS | catalog_file._MODEL_KEYS | set(Protocol) | set(ResponseFormat)
    assert {key for key in known if f"`{key}`" not in PAGE} == set()
    for block in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        assert tomllib.loads(block)
