"""What is wrong with a call before its message is looked at: its size, its path, its credential, its very protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2

from tests.fakes.served_suite import Person, Served, bearer, failure, foreign_token

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "antiphon.chat.v1.ChatService"
LIMIT = 4 * 1024**2


async def test_a_message_past_what_grpc_reads_is_refused_too(suite: Served, ana: Person) -> None:
    call: Any = suite.channel.unary_stream(f"/{CHAT}/StreamChat", lambda data: data, lambda answer: answer)
    found = await failure(call(b"x" * (3 * LIMIT), metadata=ana.metadata, timeout=20))
    assert found.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


@pytest.mark.parametrize(
    "metadata",
    [[("x-big", "a" * 20_000)], [(f"x-{number}", "a" * 100) for number in range(400)]],
    ids=["one large header", "many headers"],
)
async def test_large_metadata_is_refused(suite: Served, ana: Person, metadata: Any) -> None:
    call = suite.chat.ListSessions(
        chat_pb2.ListSessionsRequest(), metadata=(*ana.metadata, *metadata), timeout=10
    )
    assert (await failure(call)).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


@pytest.mark.parametrize(
    "path",
    [
        f"/{CHAT}/Nonesuch",
        f"/{CHAT}/streamchat",
        f"/{CHAT}/",
        "/antiphon.chat.v2.ChatService/StreamChat",
        "/nobody/Nothing",
        "/grpc.health.v1.Health/Nonesuch",
        "/" + "x" * 4000,
    ],
    ids=lambda path: path[:50],
)
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary"])
async def test_an_rpc_that_does_not_exist(suite: Served, path: str, kind: str) -> None:
    callable_: Any = getattr(suite.channel, kind)(path, lambda data: data, lambda data: data)
    call = callable_([] if kind.startswith("stream") else b"\xff", timeout=10)
    found = await failure(call)
    assert found.what == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
    assert found.metadata["method"][:200] == path[:200]
    assert found.request_id


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "bearer x.y.z",
        "Bearer ...",
        "Bearer " + "a" * 9000,
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        "Bearer " + foreign_token("1", iss="antiphon"),
        "Bearer " + foreign_token("1", iss="antiphon-service"),
        "Bearer " + foreign_token("1", exp="soon"),
        "Bearer " + foreign_token("1", exp=None),
        "Bearer " + foreign_token("1", token_type="refresh"),
        "Bearer " + foreign_token(""),
        "Bearer " + foreign_token("a\0b"),
        "Token abc",
        "Negotiate",
    ],
    ids=lambda text: text[:20],
)
async def test_garbage_is_no_credential(suite: Served, authorization: str) -> None:
    metadata = (("authorization", authorization),)
    for call in (
        suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata),
        suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hola"), metadata=metadata),
    ):
        found = await failure(call)
        assert found.what == ("UNAUTHENTICATED", "TOKEN_INVALID")
        assert found.metadata == {}
        assert "Bearer" not in found.text


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 64,
    ],
    ids=["HTTP/1.1", "TLS", "zeros"],
)
async def test_what_is_no_grpc_is_hung_up_on(suite: Served, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", suite.suite.server.port)
    writer.write(said)
    async with asyncio.timeout(10):
        await writer.drain()
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
    writer.close()
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


async def test_a_caller_who_says_half_and_leaves(suite: Served) -> None:
    for _ in range(50):
        _, writer = await asyncio.open_connection("127.0.0.1", suite.suite.server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        writer.transport.abort()
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


async def test_two_authorization_headers_are_one_too_many(suite: Served, ana: Person, ben: Person) -> None:
    metadata = (*ana.metadata, *ben.metadata)
    found = await failure(suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=metadata))
    assert found.what == ("UNAUTHENTICATED", "TOKEN_INVALID")
    found = await failure(
        suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=(*bearer("garbage"), *ana.metadata))
    )
    assert found.what == ("UNAUTHENTICATED", "TOKEN_INVALID")
