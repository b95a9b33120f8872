"""From what a caller asks for to what is made: a model, a voice, a script, and what the model or the caller may not have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.capabilities.upstream.errors import UnsupportedInput
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.principal import Principal
from services.speech.errors import VoiceNotFound
from services.speech.model import DEFAULT_LANGUAGE, Order, Script, SpeechCall, Voice
from services.speech.ports import Catalog, CatalogModel
from services.speech.text import script_of, script_of_ssml
from services.speech.usecases.languages import primary, shortened, speaks

# A longer one is read in a thread: for a hundred thousand characters that takes more than the loop has to spare.
_SHORT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Placed:
    """What is to be made, of what, and by whom."""

    order: Order
    script: Script
    model: CatalogModel
    voice: Voice


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Judges calls by the catalog. `most` and `anonymous_most` are the characters of a text, and of one of callers without a credential."""

    catalog: Catalog
    most: int
    anonymous_most: int

    async def __call__(self, principal: Principal, call: SpeechCall) -> Placed:
        """Raises ModelNotFound, ModelNotReady, VoiceNotFound, UnsupportedInput, InvalidArgument and Unavailable."""
        field, source = ("ssml", call.ssml) if call.ssml else ("text", call.text)
        self._check_length(principal, field, source)
        model, voice = await self._chosen(call)
        rate = _rate(call, model)
        _check_pitch(call, model)
        script = await _script(call, model, voice)
        order = Order(
            operation=call.operation,
            characters=script.characters,
            model=model.name,
            provider=model.provider_name,
            voice=voice.name,
            language=voice.language or shortened(call.language or DEFAULT_LANGUAGE),
            format=call.format,
            rate=rate,
            pitch=call.pitch,
        )
        return Placed(order, script, model, voice)

    def _check_length(self, principal: Principal, field: str, source: str) -> None:
        count = len(source)
        if count > self.most:
            raise InvalidArgument.field(field, f"has {count} characters, and at most {self.most} are spoken")
        if principal.is_anonymous and count > self.anonymous_most:
            raise InvalidArgument.field(
                field,
                f"has {count} characters; without a credential at most {self.anonymous_most} are spoken; log in for more",
            )

    async def _chosen(self, call: SpeechCall) -> tuple[CatalogModel, Voice]:
        if call.model:
            model = self.catalog.find(call.model)
            if call.ssml and not model.takes_ssml:
                raise UnsupportedInput(
                    "ssml", f"the model {model.name!r} takes none; send a text", model.name
                )
            voice = chosen_voice(await model.speaker.voices(), model.default_voice, call.voice, call.language)
            if voice is None:
                raise _no_voice(call, f"of the model {model.name!r}")
            return model, voice
        return await self._first(call)

    async def _first(self, call: SpeechCall) -> tuple[CatalogModel, Voice]:
        """The first ready model that has the voice and the language."""
        ready = [model for model in self.catalog.models.values() if model.ready]
        if not ready:
            # It says what to do.
            self.catalog.find(self.catalog.default.name)
        fit = [model for model in ready if model.takes_ssml or not call.ssml]
        if not fit:
            raise UnsupportedInput("ssml", "no model that is ready takes any; send a text")
        failure: Unavailable | None = None
        for model in fit:
            try:
                voices = await model.speaker.voices()
            except Unavailable as error:
                failure = error
                continue
            voice = chosen_voice(voices, model.default_voice, call.voice, call.language)
            if voice is not None:
                return model, voice
        raise failure or _no_voice(call, "of the models that are ready")


def chosen_voice(voices: Sequence[Voice], default: str, name: str, language: str) -> Voice | None:
    """The voice of this name, which has to speak the language where one is asked for; without a name the default voice if it speaks it, else
    the one whose tag is nearest; None when there is none."""
    if name:
        called = [voice for voice in voices if voice.name.lower() == name.lower()]
        return next((voice for voice in called if _is_near(voice, language)), None)
    usual = [voice for voice in voices if voice.name == default]
    if not language:
        return next(iter([*usual, *voices]), None)
    fit = [voice for voice in [*usual, *voices] if speaks(voice.language, language)]
    near = [voice for voice in [*usual, *voices] if _is_near(voice, language)]
    return next(iter([*sorted(fit, key=lambda voice: voice.language.count("-")), *near]), None)


def _is_near(voice: Voice, language: str) -> bool:
    """Whether it speaks the language, if perhaps that of another place."""
    return not language or not voice.language or primary(voice.language) == primary(language)


def _no_voice(call: SpeechCall, whose: str) -> VoiceNotFound:
    wish = f"no voice {whose} is called {call.voice!r}" if call.voice else f"no voice {whose} is there"
    language = f" and speaks {call.language!r}" if call.voice and call.language else ""
    if not call.voice and call.language:
        wish = f"no voice {whose} speaks {call.language!r}"
    return VoiceNotFound(wish + language, call.voice, call.language)


def _rate(call: SpeechCall, model: CatalogModel) -> float:
    rate = call.rate or 1.0
    least, most = model.rates
    if least <= rate <= most:
        return rate
    wish = (
        "leave it out, or send 1"
        if least == most
        else f"its voices speak {least:g} to {most:g} times as fast as by nature"
    )
    raise UnsupportedInput("speaking_rate", f"the model {model.name!r} has no {rate:g}: {wish}", model.name)


def _check_pitch(call: SpeechCall, model: CatalogModel) -> None:
    least, most = model.pitches
    if least <= call.pitch <= most:
        return
    if least == most:
        raise UnsupportedInput("pitch", f"the model {model.name!r} takes none; leave it out", model.name)
    raise UnsupportedInput(
        "pitch", f"the model {model.name!r} takes {least:g} to {most:g} semitones", model.name
    )


async def _script(call: SpeechCall, model: CatalogModel, voice: Voice) -> Script:
    language = voice.language or call.language

    def read() -> Script:
        if call.ssml:
            return script_of_ssml(call.ssml, model.longest_segment, language)
        return script_of(call.text, model.longest_segment, language)

    if len(call.text or call.ssml) <= _SHORT_CHARACTERS:
        return read()
    return await asyncio.to_thread(read)
