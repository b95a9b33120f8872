"""Reflection with comments: serves the contract's descriptor set, whose source info the generated code does not have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from services.runtime.call import Method
from services.runtime.contract import contract
from services.runtime.methods import internal_method

VERSIONS = ("v1", "v1alpha")
_METHOD = "ServerReflectionInfo"


def service_of(version: str) -> str:
    """The full name of the reflection service of a version."""
    return f"grpc.reflection.{version}.ServerReflection"


def _own_files() -> Iterator[FileDescriptorProto]:
    alpha = _file(reflection_pb2)
    yield alpha
    # The two versions are the same but for their names, and only the older one comes with a Python package.
    text = text_format.MessageToString(alpha)
    yield text_format.Parse(text.replace("v1alpha", "v1"), FileDescriptorProto())
    yield _file(health_pb2)


def _file(module: Any) -> FileDescriptorProto:
    """The file that a module was generated from, with the JSON names that compilers spell out and Python leaves to be derived."""
    file = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    for _, message in _nested(file.message_type, ""):
        for field in message.field:
            first, *others = field.name.split("_")
            field.json_name = first + "".join(word.capitalize() for word in others)
    return file


class Descriptors:
    """Files by name, by the symbols that they define, and by the extensions."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._files: dict[str, FileDescriptorProto] = {}
        self._symbols: dict[str, str] = {}
        self._extensions: dict[tuple[str, int], str] = {}
        for file in files:
            self._files[file.name] = file
            for symbol in _symbols(file):
                self._symbols[symbol] = file.name
            for extension in _extensions(file):
                self._extensions[extension.extendee.removeprefix("."), extension.number] = file.name

    def with_imports(self, name: str) -> list[bytes]:
        """A file and all that it imports, serialized. Raises KeyError."""
        found: dict[str, bytes] = {}

        def add(name: str) -> None:
            if name not in found:
                file = self._files[name]
                found[name] = file.SerializeToString()
                for imported in file.dependency:
                    add(imported)

        add(name)
        return list(found.values())

    def file_of(self, symbol: str) -> str:
        """The file that defines a symbol. Raises KeyError."""
        return self._symbols[symbol]

    def file_extending(self, message: str, number: int) -> str:
        """The file that defines an extension. Raises KeyError."""
        return self._extensions[message, number]

    def extensions_of(self, message: str) -> list[int]:
        """The numbers of a message's known extensions. Raises KeyError for what is no message."""
        self._symbols[message]
        return sorted(number for extended, number in self._extensions if extended == message)


def _nested(messages: Iterable[DescriptorProto], prefix: str) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        name = f"{prefix}{message.name}"
        yield name, message
        yield from _nested(message.nested_type, f"{name}.")


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        yield prefix + service.name
        yield from (f"{prefix}{service.name}.{method.name}" for method in service.method)
    for enum in file.enum_type:
        yield prefix + enum.name
        yield from (prefix + value.name for value in enum.value)
    yield from (prefix + extension.name for extension in file.extension)
    for name, message in _nested(file.message_type, prefix):
        yield name
        yield from (f"{name}.{field.name}" for field in (*message.field, *message.extension))
        yield from (f"{name}.{oneof.name}" for oneof in message.oneof_decl)
        yield from (f"{name}.{enum.name}" for enum in message.enum_type)
        yield from (f"{name}.{value.name}" for enum in message.enum_type for value in enum.value)


def _extensions(file: FileDescriptorProto) -> Iterator[Any]:
    yield from file.extension
    for _, message in _nested(file.message_type, ""):
        yield from message.extension


class Reflection:
    """Answers what grpcurl and its like ask. `services` are the full names of the served ones."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted({*services, *(service_of(version) for version in VERSIONS)})
        self._descriptors: Descriptors | None = None

    def methods(self) -> list[Method]:
        """The RPCs of both versions, whose messages are the same on the wire."""
        return [
            internal_method(
                f"/{service_of(version)}/{_METHOD}",
                reflection_pb2.ServerReflectionRequest,
                reflection_pb2.ServerReflectionResponse,
                self._info,
                streams="in out",
            )
            for version in VERSIONS
        ]

    async def _info(
        self, requests: AsyncIterator[reflection_pb2.ServerReflectionRequest], context: Any
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        async for request in requests:
            yield self.answer(request)

    def answer(
        self, request: reflection_pb2.ServerReflectionRequest
    ) -> reflection_pb2.ServerReflectionResponse:
        """The answer to one question; NOT_FOUND in it for what is not there."""
        response = reflection_pb2.ServerReflectionResponse(valid_host=request.host, original_request=request)
        try:
            self._fill(request, response)
        except KeyError:
            self._error(response, grpc.StatusCode.NOT_FOUND, "not found")
        return response

    def _fill(
        self,
        request: reflection_pb2.ServerReflectionRequest,
        response: reflection_pb2.ServerReflectionResponse,
    ) -> None:
        if self._descriptors is None:
            self._descriptors = Descriptors((*_own_files(), *contract().file))
        known = self._descriptors
        asked = request.WhichOneof("message_request")
        if asked == "list_services":
            for name in self._services:
                response.list_services_response.service.add(name=name)
            return
        if asked == "all_extension_numbers_of_type":
            message = request.all_extension_numbers_of_type
            response.all_extension_numbers_response.extension_number.extend(known.extensions_of(message))
            response.all_extension_numbers_response.base_type_name = message
            return
        if asked == "file_by_filename":
            name = request.file_by_filename
        elif asked == "file_containing_symbol":
            name = known.file_of(request.file_containing_symbol.removeprefix("."))
        elif asked == "file_containing_extension":
            extension = request.file_containing_extension
            name = known.file_extending(extension.containing_type, extension.extension_number)
        else:
            self._error(response, grpc.StatusCode.INVALID_ARGUMENT, "nothing was asked")
            return
        response.file_descriptor_response.file_descriptor_proto.extend(known.with_imports(name))

    def _error(
        self, response: reflection_pb2.ServerReflectionResponse, status: grpc.StatusCode, text: str
    ) -> None:
        response.error_response.error_code = status.value[0]
        response.error_response.error_message = text
