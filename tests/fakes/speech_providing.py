"""The speakers behind HTTP on a server that plays a script, and how they fail there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.capabilities.upstream.errors import ProviderFailure
from services.infra.http.session import open_session
from services.settings import SpeechSettings
from services.speech.model import Batch, Ending, Format, Segment, Voice
from services.speech.ports import Speaker, Studio, Task
from services.speech.providers.adapters import Adapters
from services.speech.providers.catalog import Endpoint
from services.speech.providers.catalog_file import ChosenTimeouts, Protocol, ResponseFormat
from tests.fakes.chat_play import until
from tests.fakes.image_upstream import Play
from tests.fakes.speech_studio import PlainStudio
from tests.fakes.speech_upstream import PROTOCOLS, RATE, SpeechUpstream, speech_upstream

KEY = "sk-very-secret-key-0123456789"
LIMIT = 100_000
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def segments(*texts: str, pause: float = 0.0) -> tuple[Segment, ...]:
    """Sentences; a pause behind each keeps them from being joined."""
    offsets = [sum(map(len, texts[:index])) for index in range(len(texts))]
    return tuple(Segment(text, offset, pause) for text, offset in zip(texts, offsets, strict=True))


THREE = segments("One is told. ", "Two & three? ", "Än end!", pause=0.25)
TASK = Task("up/stream", "nova", "en", Format.OGG_OPUS, 1.0, 0.0, THREE)


@asynccontextmanager
async def speaking(
    protocol: str,
    base_url: str,
    studio: Studio | None = None,
    *,
    total: float = 5.0,
    connect: float = 5.0,
    retries: int = 2,
    **changes: Any,
) -> AsyncIterator[Speaker]:
    """A speaker; `changes` are those of the endpoint (openai)."""
    endpoint = Endpoint(
        model="the-model",
        provider="the-provider",
        protocol=Protocol.OPENAI,
        base_url=base_url,
        key=KEY,
        missing="",
        voices=(Voice("nova", "Nova", "", RATE, "nova"),),
        longest_segment=4096,
        response_format=ResponseFormat.WAV,
        timeouts=ChosenTimeouts(connect, total),
    )
    speech = SpeechSettings(
        timeout=total,
        connect_timeout=connect,
        retries=retries,
        max_audio_bytes=LIMIT,
        gtts_url=base_url,
    )
    async with open_session() as session:
        adapters = Adapters(session, studio or PlainStudio(), speech)
        yield adapters.gtts() if protocol == "gtts" else adapters(replace(endpoint, **changes))


def coming(speaker: Speaker, task: Task = TASK) -> AbstractAsyncContextManager[AsyncIterator[Batch | Ending]]:
    """The audio as it comes; at the end of the block no more is wanted."""
    return aclosing(speaker.speak(task))  # type: ignore[type-var]


async def heard(speaker: Speaker, task: Task = TASK) -> Sequence[Batch | Ending]:
    """All of the audio."""
    async with coming(speaker, task) as batches:
        return [batch async for batch in batches]


async def failure(
    protocol: str, *plays: Play, closes: int = 0, retries: int = 0, **changes: Any
) -> tuple[ProviderFailure, SpeechUpstream]:
    """How a call fails; so many sockets are closed before they were answered on. Neither the failure nor the log has the key."""
    async with speech_upstream() as upstream:
        upstream.answers(*plays)
        async with speaking(protocol, upstream.at(protocol), retries=retries, **changes) as speaker:
            with capture_logs() as logs, pytest.raises(ProviderFailure) as failed:
                await heard(speaker)
            await until(lambda: upstream.closed == closes)
    error = failed.value
    assert KEY not in f"{error.message} {error.metadata} {error.said} {error.upstream_request_id} {logs}"
    names = {"openai": ("the-model", "the-provider"), "gtts": ("gtts", "gtts")}[protocol]
    assert (error.metadata["model"], error.metadata["provider"]) == names
    return error, upstream
