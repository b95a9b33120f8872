"""Which model and voice a call gets, and what is refused before anything is spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.capabilities.upstream.errors import ModelNotReady, UnsupportedInput
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.principal import ANONYMOUS, Kind, Principal
from services.speech.errors import ModelNotFound, VoiceNotFound
from services.speech.model import Format, SpeechCall, Voice
from services.speech.ports import CatalogModel
from services.speech.usecases.languages import distance, shortened, speaks
from services.speech.usecases.ordering import PlaceOrder, chosen_voice
from tests.fakes.speech_speaker import FakeSpeaker

ANA = Principal(Kind.USER, "ana")
CALL = SpeechCall("Synthesize", "", b"", "Hello.", "", "", "", "", Format.MP3, 0.0, 0.0)


def voices(*tags: str) -> list[Voice]:
    return [Voice(tag.lower(), tag, tag, 22050, tag) for tag in tags]


class Away(FakeSpeaker):
    async def voices(self) -> Sequence[Voice]:
        raise Unavailable("no worker starts")


def model(name: str, *tags: str, **changes: Any) -> CatalogModel:
    made = CatalogModel(
        name=name,
        provider_name=name,
        upstream=name,
        display_name=name,
        description="",
        speaker=FakeSpeaker(voices=voices(*tags)),
        not_ready_reason="",
        default_voice=tags[0].lower() if tags else "",
        rates=(0.5, 2.0),
        pitches=(-9.0, 9.0),
        takes_ssml=True,
        gives_word_timings=True,
        longest_segment=100,
        prices={},
        only_by_name=False,
        timeout=1.0,
    )
    return replace(made, **changes)


@dataclass
class Models:
    """A catalog."""

    listed: Sequence[CatalogModel]
    models: Mapping[str, CatalogModel] = field(init=False)

    def __post_init__(self) -> None:
        self.models = {one.name: one for one in self.listed}

    @property
    def default(self) -> CatalogModel:
        return next((one for one in self.listed if one.ready), self.listed[0])

    def find(self, name: str) -> CatalogModel:
        found = self.models.get(name)
        if found is None:
            raise ModelNotFound(name)
        if not found.ready:
            raise ModelNotReady(name, found.not_ready_reason)
        return found


OWN = model("own", "en-US", "es", "fr-BE", "fr-FR")
PAID = model(
    "paid", "", speaker=FakeSpeaker(voices=[Voice("nova", "Nova", "", 24000, "nova")]), takes_ssml=False
)
FAR = model("far", "gl", "en", only_by_name=True, takes_ssml=False, rates=(1.0, 1.0), pitches=(0.0, 0.0))


async def placed(*models: CatalogModel, principal: Principal = ANA, **changes: Any) -> tuple[str, str, str]:
    order = PlaceOrder(Models(models or (OWN, PAID, FAR)), 1000, 10)
    made = await order(principal, replace(CALL, **changes))
    return made.order.model, made.order.voice, made.order.language


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("own", "en-us", "en-US")),
        ({"language": "es-MX"}, ("own", "es", "es")),
        ({"language": "fr"}, ("own", "fr-fr", "fr-FR")),
        ({"voice": "FR-be"}, ("own", "fr-be", "fr-BE")),
        ({"voice": "nova"}, ("paid", "nova", "en")),
        ({"voice": "nova", "language": "PT-br"}, ("paid", "nova", "pt-BR")),
        ({"model": "far", "voice": "gl"}, ("far", "gl", "gl")),
        ({"text": "", "ssml": "<speak xml:lang='es'>hola</speak>"}, ("own", "es", "es")),
        (
            {"text": "", "ssml": "<speak xml:lang='es'>hello</speak>", "language": "en"},
            ("own", "en-us", "en-US"),
        ),
        ({"text": "", "ssml": "<speak xml:lang='en-US'>hola</speak>", "voice": "es"}, ("own", "es", "es")),
        (
            {"text": "", "ssml": "<?xml version='1.0' encoding='utf-16'?><speak xml:lang='es'>a</speak>"},
            ("own", "es", "es"),
        ),
        (
            {"text": "", "ssml": "<?xml version='1.0' encoding='rot13'?><speak xml:lang='es'>a</speak>"},
            ("own", "es", "es"),
        ),
    ],
)
async def test_a_call_gets_the_nearest_voice_of_the_model_it_means(
    changes: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert await placed(**changes) == expected


@pytest.mark.parametrize("changes", [{"language": "gl"}, {"voice": "gl"}, {"voice": "nobody"}])
async def test_no_text_goes_to_a_provider_that_nobody_has_named(changes: dict[str, Any]) -> None:
    with pytest.raises(VoiceNotFound) as raised:
        await placed(**changes)
    assert ("far" in raised.value.message) is ("gl" in changes.values())


async def test_an_engine_that_is_away_sends_nobody_elsewhere() -> None:
    with pytest.raises(Unavailable, match="no worker starts"):
        await placed(replace(OWN, speaker=Away()), PAID, FAR)


async def test_where_nothing_else_is_ready_the_far_one_speaks() -> None:
    assert (await placed(replace(OWN, not_ready_reason="not installed"), FAR, language="en"))[0] == "far"


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"text": "x" * 1001}, InvalidArgument, "text"),
        ({"rate": 2.5}, UnsupportedInput, "speaking_rate"),
        ({"pitch": -10.0}, UnsupportedInput, "pitch"),
        ({"model": "far", "pitch": 1.0}, UnsupportedInput, "pitch"),
        ({"model": "far", "rate": 1.1}, UnsupportedInput, "speaking_rate"),
        ({"model": "far", "text": "", "ssml": "<speak>a</speak>"}, UnsupportedInput, "ssml"),
        ({"text": "", "ssml": "<speak xml:lang='!!!'>a</speak>"}, InvalidArgument, "ssml"),
        ({"principal": ANONYMOUS, "text": "x" * 11}, InvalidArgument, "text"),
    ],
)
async def test_what_the_model_or_the_caller_may_not_have_is_refused_by_its_field(
    changes: dict[str, Any], error: type[InvalidArgument], field: str
) -> None:
    with pytest.raises(error) as raised:
        await placed(**changes)
    assert [violation.field for violation in raised.value.violations] == [field]


@pytest.mark.parametrize(
    ("asked", "offered", "chosen"),
    [
        ("es-MX", ("es", "es-419"), "es-419"),
        ("es-ES", ("es-419", "es"), "es"),
        ("es", ("es-419", "es"), "es"),
        ("fr-CA", ("fr-BE", "fr-CH", "fr-FR"), "fr-FR"),
        ("en", ("en-029", "en-GB", "en-US"), "en-US"),
        ("en", ("en-Shaw", "en-GB"), "en-GB"),
        ("zh", ("cmn-Latn", "cmn"), "cmn"),
        ("sr-RS", ("sr-Latn", "sr"), "sr"),
        ("en-GB", ("en-US", "en-GB"), "en-GB"),
        ("zh", ("cmn", "yue"), "cmn"),
        ("zh-TW", ("yue", "cmn"), "cmn"),
        ("zh-HK", ("cmn", "yue"), "yue"),
        ("zh-yue", ("cmn", "yue"), "yue"),
        ("no", ("da", "nb"), "nb"),
        ("pt", ("pt-BR", "pt"), "pt"),
        ("es-AR", ("es-ES", "es-MX"), "es-MX"),
        ("es-Latn-MX", ("es", "es-419"), "es-419"),
        ("sr-Cyrl-RS", ("sr-Latn", "sr-Cyrl"), "sr-Cyrl"),
        ("zh-Hant-HK", ("cmn", "yue"), "yue"),
        ("pt-Latn-BR", ("pt", "pt-BR"), "pt-BR"),
    ],
)
def test_of_several_voices_the_nearest_is_chosen(asked: str, offered: tuple[str, ...], chosen: str) -> None:
    for order in (offered, offered[::-1]):
        found = chosen_voice(voices(*order), "nobody", "", asked)
        assert found is not None
        assert found.language == chosen


def test_other_languages_are_no_choice() -> None:
    assert distance("es", "eo") is None
    assert chosen_voice(voices("es", "fr-FR"), "es", "", "eo") is None


def test_lists_of_voices_are_found_by_what_they_say_or_more_precisely() -> None:
    assert speaks("es-419", "es")
    assert speaks("cmn", "zh")
    assert speaks("", "es")
    assert not speaks("es", "es-419")
    assert not speaks("est", "es")


def test_a_language_is_cut_to_what_its_column_takes() -> None:
    assert shortened("ZH_hant_tw") == "zh-Hant-TW"
    assert shortened("ca-ES-valencia") == "ca-ES"
