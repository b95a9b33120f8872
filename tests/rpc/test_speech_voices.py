"""Many voices at once: each caller hears the one that was asked for, to the sample."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from antiphon.speech.v1 import speech_pb2

from tests.fakes.served_suite import Person, Served
from tests.fakes.speech_calls import downloaded, heard, signal, spoken

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLERS = 50
TEXT = "Buongiorno 1 2 3, amigos! Guten Tag."


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return ("auth", "speech")


async def test_fifty_at_once_with_different_voices_hear_nobody_elses(suite: Served, ana: Person) -> None:
    offered = (await suite.speech.ListVoices(speech_pb2.ListVoicesRequest(model="espeak-ng"))).voices
    voices = [voice.name for voice in offered][:: len(offered) // CALLERS][:CALLERS]
    assert len(voices) == CALLERS
    alone = {}
    for voice in voices:
        made = await spoken(suite, ana, TEXT, voice=voice)
        alone[voice], _ = await downloaded(suite, ana, made.conversion_id)
    assert len(set(alone.values())) > CALLERS * 0.9
    streams = await asyncio.gather(*(heard(suite, ana, TEXT, voice=voice) for voice in voices))
    for voice, one in zip(voices, streams, strict=True):
        assert one.finished.conversion.voice == voice
        expected, _ = signal(alone[voice])
        found, _ = signal(one.data)
        assert (found == expected).all(), voice


async def test_rate_and_pitch_of_one_are_not_anothers(suite: Served, ana: Person) -> None:
    usual = await spoken(suite, ana, TEXT)
    quick, low, after = await asyncio.gather(
        spoken(suite, ana, TEXT, speaking_rate=2),
        spoken(suite, ana, TEXT, pitch=-8),
        spoken(suite, ana, TEXT),
    )
    assert quick.duration_seconds < usual.duration_seconds * 0.65
    assert after.sha256 == usual.sha256 != low.sha256
