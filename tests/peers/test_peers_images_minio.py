"""Image on MinIO, as an operator runs it: what is in the bucket, key for key, who can read it, and what is left when images and people go."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import obstore
import psycopg
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.e2e.suite_process import COMMAND, SuiteProcess, environment
from tests.fakes.served_suite import SECRET_KEY
from tests.peers.minio_server import Minio
from tests.peers.programs import eventually

TYPES = {
    "input.json": "application/json",
    "record.json": "application/json",
    "original.png": "image/png",
    "thumbnail.png": "image/png",
    "jsonl": "application/x-ndjson",
}

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

    @property
    def is_there(self) -> bool:
        """Whether there is such a bucket."""
        try:
            self.keys()
        except (BaseError, FileNotFoundError):
            return False
        return True

    def keys(self, part: str = "") -> set[str]:
        """The keys of all objects, or of those with `part` in their key."""
        return {one["path"] for chunk in obstore.list(self._store) for one in chunk if part in one["path"]}

    def read(self, key: str) -> tuple[str, bytes]:
        """The content type and the bytes of an object."""
        found = obstore.get(self._store, key)
        return str(found.attributes["Content-Type"]), bytes(found.bytes())


@dataclass(frozen=True)
class Stage:
    """A database and a bucket, and the suites that were started on them."""

    url: str
    minio: Minio
    folder: Path
    started: list[SuiteProcess] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """Of a suite on this stage."""
        return {"DATABASE_URL": self.url, "ANTIPHON_SECRET_KEY": SECRET_KEY, **self.minio.environment}

    def suite(self, name: str = "suite", **settings: str) -> SuiteProcess:
        """A suite that serves."""
        suite = SuiteProcess(
            self.folder / name, services=("auth", "image"), settings={**self.settings, **settings}
        )
        self.started.append(suite)
        return suite.up()


@pytest.fixture
def bucket(minio: Minio) -> Bucket:
    """The bucket, which nobody has made yet."""
    return Bucket(minio)


@pytest.fixture
def stage(migrated_url: str, minio: Minio, tmp_path: Path) -> Iterator[Stage]:
    """Where suites are started; those that still run are killed at the end."""
    made = Stage(migrated_url, minio, tmp_path)
    yield made
    for suite in made.started:
        suite.kill()


@contextmanager
def images_of(suite: SuiteProcess) -> Iterator[Any]:
    with grpc.insecure_channel(suite.address, [("grpc.enable_http_proxy", 0)]) as channel:
        yield image_pb2_grpc.ImageServiceStub(channel)


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def generated(
    suite: SuiteProcess, metadata: Metadata | None, prompt: str = "a cat", count: int = 1
) -> list[image_pb2.Image]:
    request = image_pb2.GenerateImageRequest(prompt=prompt, size="256x256", model="procedural", count=count)
    with images_of(suite) as stub:
        return list(stub.GenerateImage(request, metadata=metadata, timeout=30).images)


def listed(suite: SuiteProcess, metadata: Metadata) -> list[image_pb2.Image]:
    with images_of(suite) as stub:
        return list(
            stub.ListImages(image_pb2.ListImagesRequest(page_size=100), metadata=metadata, timeout=30).images
        )


def tree(image: image_pb2.Image) -> set[str]:
    """The objects of an image, and the history that it is in, by the contract."""
    day = image.create_time.ToDatetime().strftime("%Y/%m/%d")
    folder = f"requests/{day}/{image.image_id}"
    keys = {f"{folder}/input.json", f"{folder}/record.json", f"{folder}/image/original.png"}
    keys.add(f"derived/{image.image_id}/thumbnail.png")
    return keys | ({f"users/{image.user_id}/image/history/{day}.jsonl"} if image.user_id else set())


def trees(images: Sequence[image_pb2.Image]) -> set[str]:
    return {key for image in images for key in tree(image)}


def lines(bucket: Bucket, user_id: str) -> list[str]:
    """The ids in all histories of a person, as often as they stand there."""
    texts = [bucket.read(key)[1] for key in sorted(bucket.keys(f"users/{user_id}/"))]
    return [json.loads(line)["id"] for text in texts for line in text.splitlines()]


def fetched(link: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(link, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, "", b""


def test_the_bucket_is_made_and_has_the_tree_of_the_contract_key_for_key(
    stage: Stage, bucket: Bucket
) -> None:
    assert not bucket.is_there
    suite = stage.suite()
    ana, ben = (bearer(suite.register(f"{name}@example.com")) for name in ("ana", "ben"))
    images = generated(suite, ana, count=2) + generated(suite, ben) + generated(suite, None)
    found = bucket.keys()
    assert found == trees(images)
    assert len(found) == 4 * 4 + 2
    for key in found:
        name = key.rpartition("/")[2]
        assert bucket.read(key)[0] == TYPES.get(name, TYPES["jsonl"]), key
    for image in images:
        _, data = bucket.read(image.object_key)
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (image.sha256, image.size_bytes)
    assert sorted(lines(bucket, images[0].user_id)) == sorted(image.image_id for image in images[:2])


def test_a_link_gives_anybody_the_image_until_it_expires(stage: Stage) -> None:
    suite = stage.suite(ANTIPHON_IMAGE__LINK_TTL="3")
    (image,) = generated(suite, bearer(suite.register()))
    status, content_type, data = fetched(image.download_url)
    assert (status, content_type) == (200, "image/png")
    assert hashlib.sha256(data).hexdigest() == image.sha256
    life = image.download_url_expire_time.ToDatetime() - image.create_time.ToDatetime()
    assert 2 < life.total_seconds() < 15
    eventually(lambda: fetched(image.download_url)[0] == 403, "the end of the link")


def test_images_outlive_the_suite_that_made_them(stage: Stage, bucket: Bucket) -> None:
    first = stage.suite()
    ana = bearer(first.register())
    image, other = generated(first, ana), generated(first, None)
    assert first.stop() == 0
    second = stage.suite("again")
    with images_of(second) as stub:
        request = image_pb2.GetImageRequest(image_id=image[0].image_id)
        found = stub.GetImage(request, metadata=ana, timeout=30).image
    assert hashlib.sha256(fetched(found.download_url)[2]).hexdigest() == image[0].sha256
    later = generated(second, ana)
    assert bucket.keys() == trees(image + other + later)


def test_what_is_deleted_leaves_the_bucket_and_nothing_else_does(stage: Stage, bucket: Bucket) -> None:
    suite = stage.suite()
    ana, ben = (bearer(suite.register(f"{name}@example.com")) for name in ("ana", "ben"))
    images = [generated(suite, who)[0] for who in (ana, ana, ben, ben, None)]
    with images_of(suite) as stub:
        stub.DeleteImage(image_pb2.DeleteImageRequest(image_id=images[0].image_id), metadata=ana, timeout=30)
    eventually(lambda: bucket.keys() == trees(images[1:]), "the end of the image's objects")
    assert lines(bucket, images[0].user_id) == [images[1].image_id]
    assert suite.password is not None
    admin = bearer(suite.log_in("admin@antiphon.local", suite.password))
    with grpc.insecure_channel(suite.address, [("grpc.enable_http_proxy", 0)]) as channel:
        request = auth_pb2.DeleteUserRequest(user_id=images[2].user_id)
        auth_pb2_grpc.AuthServiceStub(channel).DeleteUser(request, metadata=admin, timeout=30)
    eventually(lambda: bucket.keys() == trees([images[1], images[4]]), "the end of the person's objects")


def test_reindexing_brings_a_lost_index_back(stage: Stage, bucket: Bucket) -> None:
    suite = stage.suite()
    ana = bearer(suite.register())
    for prompt in ("a cat", "a dog"):
        generated(suite, ana, prompt, count=2)
    (anonymous,) = generated(suite, None)
    before, keys = listed(suite, ana), bucket.keys()
    with psycopg.connect(stage.url, autocommit=True) as connection:
        connection.execute("truncate image.images")
    assert listed(suite, ana) == []
    again = subprocess.run(
        [*COMMAND, "image", "reindex", "--json"],
        env=environment(stage.folder, {**stage.settings, "ANTIPHON_DATA_DIR": str(suite.data_dir)}),
        cwd=stage.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told.pop("store").startswith("s3://")
    assert told == {
        "indexed": 0,
        "seen": 5,
        "added": 5,
        "missing": 0,
        "removed": 0,
        "refused": False,
        "unreadable": [],
    }
    assert listed(suite, ana) == before
    with images_of(suite) as stub:
        request = image_pb2.GetImageRequest(image_id=anonymous.image_id, owner_token=anonymous.owner_token)
        assert stub.GetImage(request, timeout=30).image.sha256 == anonymous.sha256
    assert bucket.keys() == keys


def test_two_processes_that_serve_one_person_lose_no_line(stage: Stage, bucket: Bucket) -> None:
    suites = [stage.suite("first"), stage.suite("second")]
    ana = bearer(suites[0].register())
    with ThreadPoolExecutor(16) as callers:
        made = callers.map(lambda number: generated(suites[number % 2], ana), range(32))
        images = [image for answer in made for image in answer]
    eventually(lambda: bucket.keys() >= trees(images), "all objects of the images")
    ids = sorted(image.image_id for image in images)
    assert len(set(ids)) == 32
    eventually(lambda: len(lines(bucket, images[0].user_id)) >= 32, "a line for each image")
    assert sorted(lines(bucket, images[0].user_id)) == ids
