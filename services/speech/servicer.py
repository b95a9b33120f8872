"""SpeechService over gRPC: map, call, map."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from antiphon.speech.v1 import speech_pb2

from services.capabilities.metering.usecases import RedeliverUsage, SummarizeUsage
from services.kernel.ownership import OwnerTokens
from services.kernel.pacing import paced
from services.kernel.request import current
from services.runtime.times import moment
from services.speech.generation.making import STREAM
from services.speech.mapping.events import event_to_proto
from services.speech.mapping.requests import speech_call
from services.speech.mapping.resources import (
    conversion_to_proto,
    model_to_proto,
    summary_to_proto,
    voice_to_proto,
)
from services.speech.model import Conversion
from services.speech.usecases.download import DownloadAudio
from services.speech.usecases.finding import DeleteConversion, FindConversion, ListConversions
from services.speech.usecases.offers import ListModels, ListVoices
from services.speech.usecases.stream import StreamSynthesize
from services.speech.usecases.synthesize import Synthesize

# How long a reader may take for a piece, and for the whole: who plays what is sent takes as long as it lasts.
_PIECE_SECONDS = 60.0
_DOWNLOAD_SECONDS = 3600.0
_STREAM_SECONDS = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that Speech can do."""

    synthesize: Synthesize
    stream: StreamSynthesize
    find: FindConversion
    list_conversions: ListConversions
    delete: DeleteConversion
    download: DownloadAudio
    list_voices: ListVoices
    list_models: ListModels
    summarize_usage: SummarizeUsage
    redeliver_usage: RedeliverUsage


class SpeechServicer:
    """Serves the whole contract."""

    def __init__(
        self, use: UseCases, tokens: OwnerTokens, digest_key: bytes, most: int, anonymous_most: int
    ) -> None:
        """`most` and `anonymous_most` are the characters of a text, which ListModels tells."""
        self._use = use
        self._tokens = tokens
        self._digest_key = digest_key
        self._most = most
        self._anonymous_most = anonymous_most

    async def Synthesize(
        self, request: speech_pb2.SynthesizeRequest, context: Any
    ) -> speech_pb2.SynthesizeResponse:
        """Have a text spoken, or find what the request_id made."""
        caller = current()
        call = speech_call(request, "Synthesize", self._digest_key)
        conversion = await self._use.synthesize(caller.principal, call, caller.remaining())
        return speech_pb2.SynthesizeResponse(
            conversion=conversion_to_proto(conversion, self._owner_token(conversion))
        )

    async def StreamSynthesize(
        self, request: speech_pb2.StreamSynthesizeRequest, context: Any
    ) -> AsyncIterator[speech_pb2.StreamSynthesizeResponse]:
        """Hear it while it is spoken."""
        caller = current()
        call = speech_call(request, STREAM, self._digest_key)
        events = self._use.stream(caller.principal, call, caller.remaining())
        async with aclosing(paced(events, "stream", each=_PIECE_SECONDS, whole=_STREAM_SECONDS)) as in_time:
            async for event in in_time:
                yield event_to_proto(event, self._owner_token)

    async def GetConversion(
        self, request: speech_pb2.GetConversionRequest, context: Any
    ) -> speech_pb2.GetConversionResponse:
        """One conversion."""
        conversion = await self._use.find(
            current().principal, request.conversion_id.lower(), request.owner_token
        )
        return speech_pb2.GetConversionResponse(conversion=conversion_to_proto(conversion))

    async def DownloadAudio(
        self, request: speech_pb2.DownloadAudioRequest, context: Any
    ) -> AsyncIterator[speech_pb2.DownloadAudioResponse]:
        """Its bytes, and last their digest."""
        conversion = await self._use.find(
            current().principal, request.conversion_id.lower(), request.owner_token
        )
        pieces = self._pieces(conversion)
        async with aclosing(
            paced(pieces, "download", each=_PIECE_SECONDS, whole=_DOWNLOAD_SECONDS)
        ) as messages:
            async for message in messages:
                yield message

    async def _pieces(self, conversion: Conversion) -> AsyncGenerator[speech_pb2.DownloadAudioResponse]:
        async with self._use.download(conversion) as sent:
            first = True
            async for chunk in sent.chunks:
                message = speech_pb2.DownloadAudioResponse(chunk=chunk)
                if first:
                    message.content_type = conversion.format.content_type
                    message.total_bytes = sent.size_bytes
                    first = False
                yield message
            yield speech_pb2.DownloadAudioResponse(sha256=sent.sha256)

    async def ListConversions(
        self, request: speech_pb2.ListConversionsRequest, context: Any
    ) -> speech_pb2.ListConversionsResponse:
        """A page of somebody's conversions."""
        page, next_page_token = await self._use.list_conversions(
            current().principal, request.user_id, request.page_size, request.page_token, request.skip
        )
        return speech_pb2.ListConversionsResponse(
            conversions=[conversion_to_proto(conversion) for conversion in page.items],
            next_page_token=next_page_token,
            total_size=page.total_size,
        )

    async def DeleteConversion(
        self, request: speech_pb2.DeleteConversionRequest, context: Any
    ) -> speech_pb2.DeleteConversionResponse:
        """Remove it."""
        await self._use.delete(current().principal, request.conversion_id.lower())
        return speech_pb2.DeleteConversionResponse()

    async def ListVoices(
        self, request: speech_pb2.ListVoicesRequest, context: Any
    ) -> speech_pb2.ListVoicesResponse:
        """Who can speak."""
        voices = await self._use.list_voices(request.language, request.model)
        return speech_pb2.ListVoicesResponse(voices=[voice_to_proto(model, voice) for model, voice in voices])

    async def ListModels(
        self, request: speech_pb2.ListModelsRequest, context: Any
    ) -> speech_pb2.ListModelsResponse:
        """The catalog, the default model first."""
        models = self._use.list_models()
        return speech_pb2.ListModelsResponse(
            models=[model_to_proto(model, self._most, self._anonymous_most) for model in models],
            default_model=models[0].name,
        )

    async def SummarizeUsage(
        self, request: speech_pb2.SummarizeUsageRequest, context: Any
    ) -> speech_pb2.SummarizeUsageResponse:
        """What was used, added up."""
        report = await self._use.summarize_usage(
            moment("start_time", request.start_time), moment("end_time", request.end_time)
        )
        return speech_pb2.SummarizeUsageResponse(
            event_count=sum(summary.event_count for summary in report.summaries),
            summaries=[summary_to_proto(summary) for summary in report.summaries],
            pending_event_count=report.pending_event_count,
        )

    async def RedeliverUsage(
        self, request: speech_pb2.RedeliverUsageRequest, context: Any
    ) -> speech_pb2.RedeliverUsageResponse:
        """What was used, told once more."""
        count = await self._use.redeliver_usage(
            moment("start_time", request.start_time), moment("end_time", request.end_time)
        )
        return speech_pb2.RedeliverUsageResponse(event_count=count)

    def _owner_token(self, conversion: Conversion) -> str:
        """What shows that an anonymous caller made it."""
        return "" if conversion.user_id else self._tokens.make(conversion.conversion_id)
