"""The adapters of the models behind HTTP."""

from __future__ import annotations

import aiohttp

from services.capabilities.upstream.turns import Turns
from services.settings import SpeechSettings
from services.speech.ports import Studio
from services.speech.providers.catalog import GTTS, Endpoint
from services.speech.providers.catalog_file import ChosenTimeouts
from services.speech.providers.exchange import Bounds, Exchange
from services.speech.providers.gtts import GttsSpeaker
from services.speech.providers.openai import OpenAISpeaker


class Adapters:
    """Makes them; a MakeSpeaker of the catalog. `session` is one of `services.infra.http.session.open_session`; it and the `studio` are shared
    by all models."""

    def __init__(self, session: aiohttp.ClientSession, studio: Studio, speech: SpeechSettings) -> None:
        self._session = session
        self._studio = studio
        self._turns = Turns(speech.provider_calls)
        self._speech = speech

    def __call__(self, endpoint: Endpoint) -> OpenAISpeaker:
        """The adapter of the model at this endpoint."""
        exchange = self._exchange(
            endpoint.base_url, endpoint.key, endpoint.model, endpoint.provider, endpoint.timeouts
        )
        return OpenAISpeaker(
            exchange,
            self._studio,
            self._turns,
            endpoint.voices,
            longest=endpoint.longest_segment,
            response_format=endpoint.response_format.value,
        )

    def gtts(self) -> GttsSpeaker:
        """That of Google Translate."""
        return GttsSpeaker(
            self._exchange(self._speech.gtts_url, None, GTTS, GTTS, ChosenTimeouts()),
            self._studio,
            self._turns,
        )

    def _exchange(
        self, base_url: str, key: str | None, model: str, provider: str, timeouts: ChosenTimeouts
    ) -> Exchange:
        speech = self._speech
        bounds = Bounds(
            connect=timeouts.connect or speech.connect_timeout,
            total=timeouts.total or speech.timeout,
            repetitions=speech.retries,
            audio_bytes=speech.max_audio_bytes,
        )
        return Exchange(
            self._session, base_url=base_url, key=key, model=model, provider=provider, bounds=bounds
        )
