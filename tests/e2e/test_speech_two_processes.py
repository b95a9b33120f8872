"""Two processes serve Speech on one database and one folder: what one is speaking the other waits for, and makes when the first is killed."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc

from tests.e2e.suite_process import SuiteProcess
from tests.fakes.served_suite import SECRET_KEY, Metadata, bearer

pytestmark = pytest.mark.long

# It takes a second.
LONG = "This is one of very many sentences, which all sound alike. " * 150
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
LIMIT = 60


@pytest.fixture
def processes(migrated_url: str, tmp_path: Path) -> Iterator[tuple[SuiteProcess, SuiteProcess]]:
    """Here and there."""
    settings = {
        "DATABASE_URL": migrated_url,
        "ANTIPHON_SECRET_KEY": SECRET_KEY,
        "ANTIPHON_BLOBS__FOLDER": str(tmp_path / "objects"),
        "ANTIPHON_SPEECH__GTTS": "false",
        "ANTIPHON_SPEECH__LEASE_TTL": "2s",
    }
    here, there = (
        SuiteProcess(tmp_path / name, services=("auth", "speech"), settings=settings)
        for name in ("here", "there")
    )
    try:
        yield here.up(), there.up()
    finally:
        here.kill()
        there.kill()


@contextmanager
def speech_of(suite: SuiteProcess) -> Iterator[Any]:
    with grpc.insecure_channel(suite.address, OPTIONS) as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel)


def spoken(suite: SuiteProcess, metadata: Metadata, request_id: str) -> speech_pb2.Conversion:
    with speech_of(suite) as stub:
        request = speech_pb2.SynthesizeRequest(request_id=request_id, text=LONG)
        conversion: speech_pb2.Conversion = stub.Synthesize(
            request, metadata=metadata, timeout=LIMIT
        ).conversion
        return conversion


def stream(stub: Any, metadata: Metadata, request_id: str) -> Any:
    request = speech_pb2.StreamSynthesizeRequest(request_id=request_id, text=LONG)
    return stub.StreamSynthesize(request, metadata=metadata, timeout=LIMIT)


def streamed(suite: SuiteProcess, metadata: Metadata, request_id: str) -> tuple[str, bytes]:
    """The id of the conversion that was streamed to its end, and its audio."""
    with speech_of(suite) as stub:
        events = list(stream(stub, metadata, request_id))
    return events[-1].finished.conversion.conversion_id, audio(events)


def audio(events: list[speech_pb2.StreamSynthesizeResponse]) -> bytes:
    return b"".join(event.audio.data for event in events)


def begun(call: Any) -> list[speech_pb2.StreamSynthesizeResponse]:
    """The events until something is heard."""
    events = list(itertools.takewhile(lambda event: not event.HasField("audio"), call))
    assert events[0].started.conversion_id
    return events


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


STATES = "select generation_id::text, state from speech.generations order by created_at"
KEPT = "select conversion_id::text from speech.tts_conversions"
RUNNING = "select count(*) from speech.generations where state = 'running'"


def test_what_runs_in_one_process_is_given_by_the_other(
    processes: tuple[SuiteProcess, SuiteProcess], migrated_url: str
) -> None:
    here, there = processes
    ana, request_id = bearer(here.register()), str(uuid.uuid4())
    with speech_of(here) as stub, ThreadPoolExecutor(2) as others:
        call = stream(stub, ana, request_id)
        begun(call)
        assert rows(migrated_url, RUNNING) == [(1,)]
        unary = others.submit(spoken, there, ana, request_id)
        hearing = others.submit(streamed, there, ana, request_id)
        conversion = list(call)[-1].finished.conversion
        assert unary.result(LIMIT) == conversion
        again, data = hearing.result(LIMIT)
    assert again == conversion.conversion_id
    assert hashlib.sha256(data).hexdigest() == conversion.sha256
    assert rows(migrated_url, STATES) == [(conversion.conversion_id, "completed")]
    assert rows(migrated_url, KEPT) == [(conversion.conversion_id,)]


@pytest.mark.parametrize("by_stream", [False, True], ids=["unary", "stream"])
def test_what_dies_with_its_process_is_made_by_the_other(
    processes: tuple[SuiteProcess, SuiteProcess], migrated_url: str, tmp_path: Path, by_stream: bool
) -> None:
    here, there = processes
    ana, request_id = bearer(here.register()), str(uuid.uuid4())
    with speech_of(here) as stub:
        call = stream(stub, ana, request_id)
        first = begun(call)[0].started.conversion_id
        here.kill()
        with pytest.raises(grpc.RpcError) as lost:
            list(call)
        assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    if by_stream:
        second, data = streamed(there, ana, request_id)
    else:
        second, data = spoken(there, ana, request_id).conversion_id, b""
    assert second != first
    assert rows(migrated_url, STATES) == [(first, "interrupted"), (second, "completed")]
    assert rows(migrated_url, KEPT) == [(second,)]
    keys = [path for path in (tmp_path / "objects" / "requests").rglob("*") if path.is_file()]
    assert len(keys) == 3
    assert all(second in str(path) for path in keys)
    if by_stream:
        (stored,) = (path for path in keys if path.suffix == ".mp3")
        assert stored.read_bytes().endswith(data[-1000:])
