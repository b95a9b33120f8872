"""Reflection: the contract with its comments, for whoever asks the server."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from services.settings import ServerSettings
from tests.fakes.runtime_services import Running, running

AUTH, CHAT = "antiphon.auth.v1.AuthService", "antiphon.chat.v1.ChatService"


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.fixture
async def suite(log_file: int) -> AsyncIterator[Running]:
    async with running(log_file) as found:
        yield found


async def ask(suite: Running, version: str, **question: Any) -> Any:
    call: Any = suite.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = [
        response async for response in call(iter([reflection_pb2.ServerReflectionRequest(**question)]))
    ]
    return answer


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_what_is_served(suite: Running, version: str) -> None:
    answer = await ask(suite, version, list_services="")
    assert {service.name for service in answer.list_services_response.service} == {
        AUTH,
        CHAT,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("symbol", [f"{CHAT}.StreamChat", CHAT, "antiphon.chat.v1.ChatEvent.text_delta"])
async def test_reflection_serves_comments_and_imports(suite: Running, version: str, symbol: str) -> None:
    answer = await ask(suite, version, file_containing_symbol=symbol)
    files = [
        FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert files[0].name == "antiphon/chat/v1/chat.proto"
    comments = " ".join(location.leading_comments for location in files[0].source_code_info.location)
    assert "StreamChat answers a message, event by event" in comments
    names = {file.name for file in files}
    assert all(set(file.dependency) <= names for file in files)
    assert "buf/validate/validate.proto" in names


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "antiphon/auth/v1/auth.proto"},
        {"file_containing_symbol": "grpc.reflection.v1.ServerReflection"},
        {"file_containing_symbol": "grpc.reflection.v1alpha.ServerReflectionRequest"},
        {"file_containing_symbol": "grpc.health.v1.Health.Check"},
        {"file_containing_symbol": "antiphon.options.v1.policy"},
        {
            "file_containing_extension": reflection_pb2.ExtensionRequest(
                containing_type="google.protobuf.MethodOptions", extension_number=50211
            )
        },
    ],
)
async def test_reflection_knows_every_file(suite: Running, question: dict[str, Any]) -> None:
    answer = await ask(suite, "v1", **question)
    assert answer.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize(
    "question", [{"file_by_filename": "nothing.proto"}, {"file_containing_symbol": "antiphon.Nothing"}]
)
async def test_reflection_says_what_is_not_there(suite: Running, question: dict[str, Any]) -> None:
    answer = await ask(suite, "v1", **question)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_reflection_can_be_switched_off(log_file: int) -> None:
    async with running(log_file, settings=ServerSettings(port=0, grace=0.1, reflection=False)) as suite:
        call: Any = suite.channel.unary_unary("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_extension_numbers_are_told(suite: Running) -> None:
    answer = await ask(suite, "v1", all_extension_numbers_of_type="google.protobuf.MethodOptions")
    assert 50211 in answer.all_extension_numbers_response.extension_number
