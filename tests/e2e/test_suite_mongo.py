"""`antiphon serve` with Chat on MongoDB: the whole suite, Chat alone without any PostgreSQL, and what is told when MongoDB is not there."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import psycopg
import pytest
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from tests.e2e.chat_witness import Witness, chat_at, hold_against_record, watch_all
from tests.e2e.suite_process import COMMAND, NOT_SERVING, SERVING, SuiteProcess, environment
from tests.fakes.served_suite import SECRET_KEY
from tests.peers.mongo_server import mongo_server
from tests.peers.programs import eventually, free_port

StartSuite = Callable[..., SuiteProcess]
CHAT = "antiphon.chat.v1.ChatService"
NOWHERE = "mongodb://127.0.0.1:9/chats"

peers = pytest.mark.peers


def on_mongo(url: str, **more: str) -> dict[str, str]:
    return {
        "ANTIPHON_CHAT__STORE": "mongo",
        "MONGODB_URL": url,
        "ANTIPHON_CHAT__LEASE_TTL": "2s",
        "ANTIPHON_SECRET_KEY": SECRET_KEY,
        **more,
    }


def finished(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(folder, settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@peers
def test_chat_alone_needs_no_postgres(
    tmp_path: Path, mongo_url: str, migrated_url: str, start_suite: StartSuite
) -> None:
    given = {"ANTIPHON_SECRET_KEY": SECRET_KEY, "DATABASE_URL": migrated_url}
    auth = start_suite(tmp_path / "auth", services=["auth"], settings=given).up()
    settings = on_mongo(mongo_url, ANTIPHON_PEERS__AUTH=auth.address)
    chat = start_suite(tmp_path / "chat", services=["chat"], settings=settings).up()
    assert (chat.health(CHAT), auth.health(CHAT)) == (SERVING, None)
    assert "  data     mongodb://127.0.0.1" in chat.out
    process = psutil.Process(chat.process.pid)
    # It was told of no database, and has made none.
    assert process.children(recursive=True) == []
    assert not chat.data_dir.exists()

    token = auth.register()
    asked = [Witness("one two three", token), Witness("four five", "")]
    asyncio.run(watch_all(chat.address, asked))
    assert {one.status for one in asked} == {"OK"}
    found = asyncio.run(hold_against_record(chat.address, asked))
    assert found.states == {"COMPLETED": 2}
    with psycopg.connect(migrated_url) as connection:
        assert connection.execute("select count(*) from chat.generations").fetchone() == (0,)
    assert chat.stop() == 0


@peers
def test_the_whole_suite_keeps_chats_in_mongo_and_is_killed(
    tmp_path: Path, mongo_url: str, start_suite: StartSuite
) -> None:
    suite = start_suite(settings=on_mongo(mongo_url)).up()
    assert f"  data     {suite.data_dir}, mongodb://127.0.0.1" in suite.out
    token = suite.register()
    witnesses = [Witness(" ".join(str(number) for number in range(400)), token) for _ in range(6)]

    async def watch_and_kill() -> None:
        async with chat_at(suite.address) as stub:
            watching = [asyncio.create_task(witness.watch(stub)) for witness in witnesses]
            await asyncio.to_thread(
                eventually, lambda: all(len(one.events) > 3 for one in witnesses), "words"
            )
            suite.kill()
            await asyncio.wait_for(asyncio.gather(*watching), 20)

    asyncio.run(watch_and_kill())
    suite = start_suite(settings=on_mongo(mongo_url), port=suite.port).up()

    def taken_over() -> bool:
        with grpc.insecure_channel(suite.address, [("grpc.enable_http_proxy", 0)]) as channel:
            stub = chat_pb2_grpc.ChatServiceStub(channel)
            for witness in witnesses:
                assert witness.started is not None
                request = chat_pb2.GetGenerationRequest(generation_id=witness.started.generation_id)
                found = stub.GetGeneration(request, metadata=witness.metadata).generation
                if found.state == chat_pb2.GENERATION_STATE_RUNNING:
                    return False
        return True

    # Others could be at work there, so it is the lease that tells that the dead process is dead.
    eventually(taken_over, "that the lease ends", 20)
    found = asyncio.run(hold_against_record(suite.address, witnesses))
    assert found.states == {"INTERRUPTED": 6}
    status = finished(
        tmp_path, "migrate", "--status", "--json", "--data-dir", str(suite.data_dir), **on_mongo(mongo_url)
    )
    assert [schema["service"] for schema in json.loads(status.stdout)["schemas"]] == [
        "analytics",
        "auth",
        "image",
        "speech",
    ]
    doctor = finished(tmp_path, "doctor", "--data-dir", str(suite.data_dir), **on_mongo(mongo_url))
    assert doctor.returncode == 0, doctor.stdout
    assert "mongodb://127.0.0.1" in doctor.stdout


@peers
def test_a_mongo_that_goes_away_is_told_and_waited_for(
    tmp_path: Path, mongo_command: list[str], start_suite: StartSuite
) -> None:
    port = free_port()
    settings = on_mongo(
        f"mongodb://127.0.0.1:{port}/chats",
        ANTIPHON_MONGO__CONNECT_TIMEOUT="0.5s",
        ANTIPHON_PEERS__AUTH="127.0.0.1:9",
    )
    chat = start_suite(services=["chat"], settings=settings)
    eventually(lambda: "Waiting for the MongoDB" in chat.err, "that it waits", 20)
    with mongo_server(mongo_command, port) as server:
        chat.up()
        server.stop()
    eventually(
        lambda: any(
            "mongo" in str(line.get("check", line)) for line in chat.log if line["event"] == "not ready"
        ),
        "that it is noticed",
        30,
    )
    assert chat.health("live") == SERVING
    assert chat.health(CHAT) == NOT_SERVING


def test_a_mongo_that_is_not_named_is_asked_for_before_anything_is_started(tmp_path: Path) -> None:
    done = finished(tmp_path, "serve", "--port", "0", ANTIPHON_CHAT__STORE="mongo")
    assert done.returncode == 1
    assert "ANTIPHON_CHAT__STORE is mongo, and no MongoDB is named." in done.stderr
    assert "MONGODB_URL=mongodb://" in done.stderr
    assert not (tmp_path / ".antiphon").exists()


@pytest.mark.long
def test_every_command_asks_for_a_mongo_that_is_not_named(tmp_path: Path) -> None:
    for command in (("migrate",), ("serve", "auth", "chat")):
        done = finished(tmp_path, *command, ANTIPHON_CHAT__STORE="mongo")
        assert done.returncode == 1
        assert "no MongoDB is named" in done.stderr
    doctor = finished(tmp_path, "doctor", ANTIPHON_CHAT__STORE="mongo")
    assert doctor.returncode == 1
    assert "no MongoDB is named" in doctor.stdout
    assert not (tmp_path / ".antiphon").exists()


def test_chat_alone_on_mongo_shares_a_secret_with_auth(tmp_path: Path) -> None:
    settings = {"MONGODB_URL": NOWHERE, "ANTIPHON_PEERS__AUTH": "127.0.0.1:9", "ANTIPHON_SERVER__PORT": "0"}
    done = finished(tmp_path, "serve", "chat", ANTIPHON_CHAT__STORE="mongo", **settings)
    assert done.returncode == 1
    assert "ANTIPHON_SECRET_KEY is not set" in done.stderr
    assert not (tmp_path / ".antiphon").exists()


@pytest.mark.long
def test_a_mongo_that_does_not_answer_stops_the_start(tmp_path: Path, migrated_url: str) -> None:
    settings = on_mongo(
        NOWHERE,
        DATABASE_URL=migrated_url,
        ANTIPHON_SERVER__PORT="0",
        ANTIPHON_MONGO__CONNECT_TIMEOUT="0.2s",
        ANTIPHON_DATABASE__START_TIMEOUT="0.5s",
    )
    done = finished(tmp_path, "serve", **settings)
    assert done.returncode == 1
    assert "The MongoDB mongodb://127.0.0.1:9/chats cannot be reached" in done.stderr
    doctor = finished(tmp_path, "doctor", **settings)
    assert doctor.returncode == 1
    assert "mongodb://127.0.0.1:9/chats cannot be reached" in " ".join(doctor.stdout.split())
