"""Speech on MinIO, as an operator runs it: what is in the bucket, key for key, what the table says of it, and what is left when conversions and people go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import obstore
import psycopg
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc
from obstore.store import S3Store

from tests.e2e.suite_process import SuiteProcess
from tests.fakes.served_suite import SECRET_KEY
from tests.peers.minio_server import Minio
from tests.peers.programs import eventually

OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
JSON = "application/json"
FORMATS = {
    speech_pb2.AUDIO_FORMAT_WAV: ("wav", "audio/wav"),
    speech_pb2.AUDIO_FORMAT_MP3: ("mp3", "audio/mpeg"),
    speech_pb2.AUDIO_FORMAT_OGG_OPUS: ("ogg", "audio/ogg"),
    speech_pb2.AUDIO_FORMAT_FLAC: ("flac", "audio/flac"),
}
# Some eight minutes of audio: as WAV more than 20 MB, which go in by parts.
LONG = "This is one of very many sentences, which all sound alike. " * 130
MEGABYTE = 1_000_000

Metadata = tuple[tuple[str, str | bytes], ...]


class Bucket:
    """A bucket as another program finds it."""

    def __init__(self, minio: Minio) -> None:
        self._store = S3Store(
            minio.bucket,
            endpoint=minio.endpoint,
            access_key_id=minio.access_key,
            secret_access_key=minio.secret_key,
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def keys(self) -> set[str]:
        """The keys of all objects."""
        return {one["path"] for chunk in obstore.list(self._store) for one in chunk}

    def read(self, key: str) -> tuple[str, bytes]:
        """The content type and the bytes of an object."""
        found = obstore.get(self._store, key)
        return str(found.attributes["Content-Type"]), bytes(found.bytes())

    def tag(self, key: str) -> str:
        """The ETag of an object; that of one that came in parts ends with how many there were."""
        return str(obstore.head(self._store, key)["e_tag"]).strip('"')


@dataclass(frozen=True)
class Stage:
    """A database and a bucket, and the suites that were started on them."""

    url: str
    minio: Minio
    folder: Path
    started: list[SuiteProcess] = field(default_factory=list)

    def suite(self) -> SuiteProcess:
        """A suite that serves."""
        settings = {
            "DATABASE_URL": self.url,
            "ANTIPHON_SECRET_KEY": SECRET_KEY,
            "ANTIPHON_SPEECH__GTTS": "false",
            **self.minio.environment,
        }
        suite = SuiteProcess(self.folder / "suite", services=("auth", "speech"), settings=settings)
        self.started.append(suite)
        return suite.up()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """The bucket."""
    return Bucket(minio)


@pytest.fixture
def stage(migrated_url: str, minio: Minio, tmp_path: Path) -> Iterator[Stage]:
    """Where suites are started; those that still run are killed at the end."""
    made = Stage(migrated_url, minio, tmp_path)
    yield made
    for suite in made.started:
        suite.kill()


@contextmanager
def speech_of(suite: SuiteProcess) -> Iterator[Any]:
    with grpc.insecure_channel(suite.address, OPTIONS) as channel:
        yield speech_pb2_grpc.SpeechServiceStub(channel)


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def spoken(
    suite: SuiteProcess, metadata: Metadata | None, text: str = "Hello there.", **more: Any
) -> speech_pb2.Conversion:
    fields = {"text": text, "format": speech_pb2.AUDIO_FORMAT_WAV, **more}
    with speech_of(suite) as stub:
        request = speech_pb2.SynthesizeRequest(**fields)
        conversion: speech_pb2.Conversion = stub.Synthesize(request, metadata=metadata, timeout=60).conversion
        return conversion


def tree(conversion: speech_pb2.Conversion) -> dict[str, str]:
    """The objects of a conversion by the contract, and their content types."""
    day = conversion.create_time.ToDatetime().strftime("%Y/%m/%d")
    folder = f"requests/{day}/{conversion.conversion_id}"
    ending, content_type = FORMATS[conversion.format]
    return {
        f"{folder}/input.json": JSON,
        f"{folder}/record.json": JSON,
        f"{folder}/audio/original.{ending}": content_type,
    }


def trees(conversions: Sequence[speech_pb2.Conversion]) -> dict[str, str]:
    return {key: kind for conversion in conversions for key, kind in tree(conversion).items()}


def test_the_bucket_has_the_tree_of_the_contract_and_the_table_tells_where(
    stage: Stage, bucket: Bucket
) -> None:
    suite = stage.suite()
    ana = bearer(suite.register())
    made = [spoken(suite, ana, format=format_) for format_ in FORMATS] + [spoken(suite, None)]
    wanted = trees(made)
    assert bucket.keys() == set(wanted)
    for key, kind in wanted.items():
        assert bucket.read(key)[0] == kind, key
    for conversion in made:
        _, data = bucket.read(conversion.s3_key)
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (
            conversion.sha256,
            conversion.file_size_bytes,
        )
        record = json.loads(bucket.read(conversion.metadata.record_key)[1])
        assert (record["id"], record["sha256"]) == (conversion.conversion_id, conversion.sha256)
        # A stable reference, which opens nothing by itself.
        assert conversion.audio_url == f"antiphon://speech/conversions/{conversion.conversion_id}/audio"
    rows = stage.rows("select s3_bucket, s3_key, audio_url from speech.tts_conversions order by id")
    assert rows == [(stage.minio.bucket, one.s3_key, one.audio_url) for one in made]
    assert {one.s3_bucket for one in made} == {stage.minio.bucket}


def test_a_large_file_goes_in_by_parts_and_comes_back_byte_by_byte(stage: Stage, bucket: Bucket) -> None:
    suite = stage.suite()
    ana = bearer(suite.register())
    conversion = spoken(suite, ana, LONG)
    assert conversion.file_size_bytes > 20 * MEGABYTE
    assert "-" in bucket.tag(conversion.s3_key)
    _, stored = bucket.read(conversion.s3_key)
    assert hashlib.sha256(stored).hexdigest() == conversion.sha256
    request = speech_pb2.DownloadAudioRequest(conversion_id=conversion.conversion_id)
    with speech_of(suite) as stub:
        messages = list(stub.DownloadAudio(request, metadata=ana, timeout=60))
    assert b"".join(message.chunk for message in messages) == stored
    assert (messages[0].total_bytes, messages[-1].sha256) == (len(stored), conversion.sha256)


def test_what_is_deleted_leaves_the_bucket_and_nothing_else_does(stage: Stage, bucket: Bucket) -> None:
    suite = stage.suite()
    ana, ben = (bearer(suite.register(f"{name}@example.com")) for name in ("ana", "ben"))
    made = [spoken(suite, who) for who in (ana, ana, ben, ben, None)]
    with speech_of(suite) as stub:
        request = speech_pb2.DeleteConversionRequest(conversion_id=made[0].conversion_id)
        stub.DeleteConversion(request, metadata=ana, timeout=30)
    eventually(lambda: bucket.keys() == set(trees(made[1:])), "the end of the conversion's objects")
    assert suite.password is not None
    admin = bearer(suite.log_in("admin@antiphon.local", suite.password))
    with grpc.insecure_channel(suite.address, OPTIONS) as channel:
        deletion = auth_pb2.DeleteUserRequest(user_id=made[2].user_id)
        auth_pb2_grpc.AuthServiceStub(channel).DeleteUser(deletion, metadata=admin, timeout=30)
    eventually(lambda: bucket.keys() == set(trees([made[1], made[4]])), "the end of the person's objects")
    eventually(
        lambda: stage.rows("select count(*) from speech.tts_conversions") == [(2,)],
        "the end of the person's rows",
    )
