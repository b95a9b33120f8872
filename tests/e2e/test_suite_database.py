"""The suite on a database of the operator's: migrated first, split into processes, gone for a while and back again."""

import asyncio
import contextlib
import json
import select
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from antiphon.chat.v1 import chat_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.infra.postgres.server import EmbeddedServer
from tests.e2e.chat_witness import Witness, chat_at, watch_all
from tests.e2e.suite_process import COMMAND, NOT_SERVING, SERVING, SuiteProcess, environment
from tests.peers.programs import eventually

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
KEY = "0123456789-0123456789-0123456789-0123456789"
AUTH, CHAT = "antiphon.auth.v1.AuthService", "antiphon.chat.v1.ChatService"


def given(url: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "ANTIPHON_SECRET_KEY": KEY, **more}


def test_a_given_database_is_migrated_by_its_operator_and_then_served(
    tmp_path: Path, postgres_url: str, start_suite: StartSuite
) -> None:
    early = start_suite(settings=given(postgres_url))
    assert early.ended() == 1
    assert "auth: nothing in the database, 0002 in the code" in early.err
    assert "antiphon migrate" in early.err

    migrated = subprocess.run(
        [*COMMAND, "migrate", "--json"],
        cwd=tmp_path,
        env=environment(tmp_path, given(postgres_url)),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert migrated.returncode == 0, migrated.stderr
    assert {schema["state"] for schema in json.loads(migrated.stdout)["schemas"]} == {"current"}
    suite = start_suite(settings=given(postgres_url)).up()
    assert suite.log_in("admin@antiphon.local", suite.password or "")
    password = psycopg.conninfo.conninfo_to_dict(postgres_url).get("password")
    assert not password or str(password) not in suite.out + suite.err
    # Nothing is kept on this machine but what objects there are.
    assert [path.name for path in suite.data_dir.iterdir()] == ["blobs"]
    assert suite.stop() == 0


def test_a_database_that_is_ahead_of_the_code_is_refused(migrated_url: str, start_suite: StartSuite) -> None:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute("update chat.alembic_version set version_num = '9999'")
    suite = start_suite(settings=given(migrated_url))
    assert suite.ended() == 1
    assert "migrated by a newer version: chat: 9999 in the database" in suite.err
    assert "Install that version" in suite.err


def test_auth_and_chat_in_two_processes(tmp_path: Path, migrated_url: str, start_suite: StartSuite) -> None:
    auth = start_suite(tmp_path / "auth", services=["auth"], settings=given(migrated_url)).up()
    peers = {"ANTIPHON_PEERS__AUTH": auth.address}
    chat = start_suite(tmp_path / "chat", services=["chat"], settings=given(migrated_url, **peers)).up()
    assert (auth.health(AUTH), auth.health(CHAT)) == (SERVING, None)
    assert (chat.health(AUTH), chat.health(CHAT)) == (None, SERVING)
    assert chat.password is None
    token = auth.log_in("admin@antiphon.local", auth.password or "")
    known = Witness("over there", token)
    asyncio.run(watch_all(chat.address, [known]))
    assert known.status == "OK"
    assert known.started is not None
    assert known.started.session_id
    forged = Witness("over there", token[:-8] + ("AAAAAAAA" if token[-8:] != "AAAAAAAA" else "BBBBBBBB"))
    asyncio.run(watch_all(chat.address, [forged]))
    assert forged.status == "UNAUTHENTICATED"

    # Without Auth, Chat is not ready and says why; tokens whose keys it knows go on working. With Auth it is ready again.
    assert auth.stop() == 0
    eventually(lambda: chat.health(CHAT) == NOT_SERVING, "that Chat notices")
    assert chat.health("live") == SERVING
    assert any(line["event"] == "not ready" and auth.address in str(line["why"]) for line in chat.log)
    still = Witness("over there", token)
    asyncio.run(watch_all(chat.address, [still]))
    assert still.status == "OK"
    start_suite(tmp_path / "auth", services=["auth"], port=auth.port, settings=given(migrated_url)).up()
    eventually(lambda: chat.health(CHAT) == SERVING, "that Chat is ready again", 30)
    assert chat.stop() == 0


class Road:
    """A port on which a database is reached, wherever it is at the moment."""

    def __init__(self) -> None:
        self.target = ""
        road = self

        class Travel(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as there:
                    there.connect(road.target)
                    ends = {self.request: there, there: self.request}
                    while True:
                        for end in select.select(list(ends), [], [])[0]:
                            data = end.recv(65536)
                            if not data:
                                return
                            ends[end].sendall(data)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Travel)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def lead_to(self, url: str) -> str:
        """The URL by which this database is reached from now on."""
        there = psycopg.conninfo.conninfo_to_dict(url)
        self.target = f"{there['host']}/.s.PGSQL.{there.get('port', 5432)}"
        here = f"127.0.0.1:{self.server.server_address[1]}"
        return f"postgresql://{there['user']}:{there['password']}@{here}/{there['dbname']}?sslmode=disable"


@pytest.fixture
def road() -> Iterator[Road]:
    made = Road()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def failure(address: str, token: str) -> tuple[str, float]:
    """How a call ends that needs the database: its code, and the seconds after which to try again."""
    async with chat_at(address) as stub:
        call: Any = stub.ListSessions(
            chat_pb2.ListSessionsRequest(), metadata=(("authorization", f"Bearer {token}"),), timeout=30
        )
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
    status = rpc_status.from_call(failed.value)  # type: ignore[arg-type]
    retry = error_details_pb2.RetryInfo()
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    return failed.value.code().name, retry.retry_delay.ToTimedelta().total_seconds()


def test_a_database_that_goes_and_comes_back_needs_no_restart(
    tmp_path: Path, road: Road, start_suite: StartSuite
) -> None:
    server = EmbeddedServer(tmp_path / "there", durable=False)
    url = road.lead_to(server.start())
    try:
        migrating = [*COMMAND, "migrate"]
        subprocess.run(
            migrating,
            cwd=tmp_path,
            env=environment(tmp_path, given(url)),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        suite = start_suite(settings=given(url)).up()
        token = suite.register()
        before = Witness("before", token)
        asyncio.run(watch_all(suite.address, [before]))
        assert before.status == "OK"

        server.stop()
        eventually(lambda: suite.health(CHAT) == NOT_SERVING, "that the suite notices")
        assert suite.health(AUTH) == NOT_SERVING
        assert suite.health("live") == SERVING
        told = [line for line in suite.log if line["event"] == "not ready"]
        assert {(line["service"], line["check"]) for line in told} >= {
            ("auth", "database"),
            ("chat", "database"),
        }
        during = Witness("during", token)

        async def meanwhile() -> tuple[str, float]:
            failed, _ = await asyncio.gather(
                failure(suite.address, token), watch_all(suite.address, [during])
            )
            return failed

        began = time.monotonic()
        code, retry = asyncio.run(meanwhile())
        assert time.monotonic() - began < 20
        assert (code, during.status) == ("UNAVAILABLE", "UNAVAILABLE")
        assert retry > 0

        road.lead_to(server.start())
        eventually(lambda: suite.health() == SERVING, "that the suite is ready again", 30)
        again = Witness("during", token, request_id=during.request_id)
        asyncio.run(watch_all(suite.address, [again]))
        assert again.status == "OK"
        assert suite.log_in("ana@example.com", "correct horse battery")
        assert suite.stop() == 0
        assert "Traceback" not in suite.err
    finally:
        server.stop()
