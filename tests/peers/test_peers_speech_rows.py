"""What a row says of its audio, held against what ffmpeg makes of the file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc

from tests.e2e.suite_process import SuiteProcess
from tests.peers.readying import Readier
from tools import peers

TEXTS = {
    "en": "Hello.",
    "es": "¡Hola! ¿Qué tal? Son las 3.14, más o menos. " * 30,
    "zh": "你好，世界。今天天气很好！",
    "ar": "مرحبا بالعالم. كيف حالك؟",
}
FORMATS = (
    speech_pb2.AUDIO_FORMAT_WAV,
    speech_pb2.AUDIO_FORMAT_MP3,
    speech_pb2.AUDIO_FORMAT_OGG_OPUS,
    speech_pb2.AUDIO_FORMAT_FLAC,
)
TOLERANCE = 0.02


@pytest.fixture(scope="module")
def ffmpeg(peer: Readier) -> Path:
    return peer(peers.ffmpeg)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteProcess]:
    running = SuiteProcess(tmp_path_factory.mktemp("suite"), services=("auth", "speech"))
    try:
        yield running.up()
    finally:
        running.kill()


def seconds_of(ffmpeg: Path, data: bytes, rate: int) -> float:
    """How long ffmpeg says that it is, once it is decoded."""
    command = [str(ffmpeg), "-v", "error", "-i", "-", "-f", "s16le", "-ac", "1", "-ar", str(rate), "-"]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return len(done.stdout) / 2 / rate


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("format_", FORMATS)
def test_the_duration_of_the_row_is_that_of_the_decoded_file(
    suite: SuiteProcess, ffmpeg: Path, format_: speech_pb2.AudioFormat, rate: float
) -> None:
    with grpc.insecure_channel(suite.address, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = speech_pb2_grpc.SpeechServiceStub(channel)
        for language, text in TEXTS.items():
            request = speech_pb2.SynthesizeRequest(
                text=text, language=language, format=format_, speaking_rate=rate
            )
            made = stub.Synthesize(request, timeout=60).conversion
            sent = speech_pb2.DownloadAudioRequest(
                conversion_id=made.conversion_id, owner_token=made.owner_token
            )
            data = b"".join(message.chunk for message in stub.DownloadAudio(sent, timeout=60))
            heard = seconds_of(ffmpeg, data, made.sample_rate_hertz)
            print(f"{made.s3_key[-3:]} {language} x{rate}: {1000 * (heard - made.duration_seconds):+.1f} ms")
            assert abs(heard - made.duration_seconds) <= TOLERANCE
