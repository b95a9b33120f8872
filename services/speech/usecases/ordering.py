"""From what a caller asks for to what is made: a model, a voice, a script, and what the model or the caller may not have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.capabilities.upstream.errors import UnsupportedInput
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.principal import Principal
from services.speech.errors import VoiceNotFound
from services.speech.model import DEFAULT_LANGUAGE, Order, Script, SpeechCall, Voice
from services.speech.ports import Catalog, CatalogModel
from services.speech.text import language_of, script_of, script_of_ssml
from services.speech.usecases.languages import distance, shortened

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
        if call.ssml and not (call.language or call.voice):
            call = replace(call, language=language_of(call.ssml))
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
        """The model that is named, or the default one; only for a voice that this one does not have, another one that has it: no text goes to a
        provider that nobody has chosen."""
        model = self.catalog.find(call.model or self.catalog.default.name)
        voice = chosen_voice(await model.speaker.voices(), model.default_voice, call.voice, call.language)
        if voice is None and not call.model and call.voice:
            model, voice = await self._with_voice(call, model)
        if voice is None:
            raise await self._no_voice(call, model)
        if call.ssml and not model.takes_ssml:
            raise UnsupportedInput("ssml", f"the model {model.name!r} takes none; send a text", model.name)
        return model, voice

    async def _with_voice(self, call: SpeechCall, default: CatalogModel) -> tuple[CatalogModel, Voice | None]:
        for model in self._others(default):
            if not model.only_by_name:
                voices = await model.speaker.voices()
                voice = chosen_voice(voices, model.default_voice, call.voice, call.language)
                if voice is not None:
                    return model, voice
        return default, None

    async def _no_voice(self, call: SpeechCall, model: CatalogModel) -> VoiceNotFound:
        """What is missing, and which models have it."""
        what = f"no voice of the model {model.name!r}"
        if call.voice:
            what += f" is called {call.voice!r}" + (f" and speaks {call.language!r}" if call.language else "")
        else:
            what += f" speaks {call.language!r}" if call.language else " is there"
        able = []
        for other in self._others(model):
            with contextlib.suppress(Unavailable):
                voices = await other.speaker.voices()
                if chosen_voice(voices, other.default_voice, call.voice, call.language) is not None:
                    able.append(other.name)
        hint = f" (the model {' or '.join(able)} has one)" if able else ""
        return VoiceNotFound(what + hint, call.voice, call.language)

    def _others(self, model: CatalogModel) -> list[CatalogModel]:
        return [one for one in self.catalog.models.values() if one.ready and one.name != model.name]


def chosen_voice(voices: Sequence[Voice], default: str, name: str, language: str) -> Voice | None:
    """The voice of this name, which has to speak the language where one is asked for; without a name the default voice if none is nearer to the
    language, else the one whose tag is nearest; None when there is none."""
    usual = sorted(voices, key=lambda voice: voice.name != default)
    if name:
        usual = [voice for voice in usual if voice.name.lower() == name.lower()]
    if not language:
        return next(iter(usual), None)
    near = [(far, voice) for voice in usual if (far := distance(voice.language, language)) is not None]
    # Of several the first: the default one, then the simplest tag.
    return min(near, key=lambda one: (one[0], one[1].name != default, len(one[1].name)), default=(0, None))[1]


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
