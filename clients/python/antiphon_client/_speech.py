"""What the synchronous client does with speech. `_async_speech.py` mirrors it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Unpack

from antiphon.speech.v1 import speech_pb2

from antiphon_client import _calls, _speech_calls
from antiphon_client._calling import Calling
from antiphon_client._download import Download
from antiphon_client._downloading import DownloadReader
from antiphon_client._record import OnReconnect
from antiphon_client._speaking import SpeechReader
from antiphon_client._speech_calls import SpeechOptions
from antiphon_client._speech_stream import SpeechStream


class SpeechVerbs(Calling):
    """The part of a client that is about speech. Conversions of other people are as absent: NotFound. Those of anonymous callers are there for
    whoever has their `owner_token`."""

    def synthesize(self, text: str = "", **options: Unpack[SpeechOptions]) -> speech_pb2.Conversion:
        """Speaks a text, or the `ssml` of the options, and gives the conversion once its audio is stored. It may take as long as an answer
        (`Timeouts.answer`)."""
        timeout = options.get("timeout")
        limit = self._timeouts.answer if timeout is None else timeout
        return self._transport.unary(_speech_calls.synthesize(text, options), limit).conversion

    def stream_synthesize(
        self, text: str = "", *, on_reconnect: OnReconnect | None = None, **options: Unpack[SpeechOptions]
    ) -> SpeechStream:
        """Speaks a text, or the `ssml` of the options, and gives the audio while it is made.

        A connection that breaks is sought again. By then the server may have begun anew; where that does not sound the same, byte by
        byte, as what has been heard, or another model or voice would speak, it raises BrokenRecord and ends that call. `on_reconnect` is told
        each time before the connection is sought.
        """
        timeout = options.get("timeout")
        limit = self._timeouts.stream if timeout is None else timeout
        reader = SpeechReader(_speech_calls.stream_synthesize(text, options))
        return SpeechStream(self._transport, reader, limit, on_reconnect)

    def get_conversion(
        self, conversion_id: str, *, owner_token: str = "", timeout: float | None = None
    ) -> speech_pb2.Conversion:
        """A conversion's description."""
        request = speech_pb2.GetConversionRequest(conversion_id=conversion_id, owner_token=owner_token)
        return self._unary(_calls.call(_speech_calls.GET_CONVERSION, request), timeout).conversion

    def download_audio(
        self, conversion_id: str, *, owner_token: str = "", timeout: float | None = None
    ) -> Download:
        """The audio of a conversion in chunks.

        A connection that breaks is sought again, and the bytes go on where they broke off. The audio is whole when the iteration ends: it
        raises BrokenDownload when length or SHA-256 are not those that the server tells.
        """
        call = _speech_calls.download_audio(conversion_id, owner_token)
        limit = self._timeouts.stream if timeout is None else timeout
        return Download(self._transport, DownloadReader(call, f"conversion {conversion_id}"), limit)

    def save_audio(
        self,
        conversion_id: str,
        path: str | os.PathLike[str],
        *,
        owner_token: str = "",
        timeout: float | None = None,
    ) -> None:
        """Downloads the audio of a conversion to a file, which is there once it is whole; one that was there is replaced then. The name does not
        choose the format.

        Raises OSError, too, when the file can't be written.
        """
        self.download_audio(conversion_id, owner_token=owner_token, timeout=timeout).save(path)

    def list_conversions(
        self, *, user_id: str = "", page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> Iterator[speech_pb2.Conversion]:
        """The caller's conversions, newest first; those of `user_id` for administrators.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = speech_pb2.ListConversionsRequest(page_size=page_size, skip=skip, user_id=user_id)
        for page in self._pages(_speech_calls.LIST_CONVERSIONS, request, timeout):
            yield from page.conversions

    def delete_conversion(self, conversion_id: str, *, timeout: float | None = None) -> None:
        """Removes a conversion. NotFound from a repeated try counts as done, since the first one may have been."""
        request = speech_pb2.DeleteConversionRequest(conversion_id=conversion_id)
        self._unary(_calls.call(_speech_calls.DELETE_CONVERSION, request), timeout)

    def list_voices(
        self, *, language: str = "", model: str = "", timeout: float | None = None
    ) -> Sequence[speech_pb2.Voice]:
        """Who can speak: all, or those of a language (`en` finds `en-GB`) or a model; those of the default model first."""
        request = speech_pb2.ListVoicesRequest(language=language, model=model)
        return self._unary(_calls.call(_speech_calls.LIST_VOICES, request), timeout).voices

    def list_speech_models(self, *, timeout: float | None = None) -> speech_pb2.ListModelsResponse:
        """The catalog of models that speak, the default one first: what they take, and their prices."""
        request = speech_pb2.ListModelsRequest()
        return self._unary(_calls.call(_speech_calls.LIST_MODELS, request), timeout)
