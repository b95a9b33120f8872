"""What every proto of the suite keeps to, read from the descriptors that the server serves."""

import importlib.resources
import re
from collections.abc import Iterator
from typing import Any

import pytest
from antiphon.options.v1 import policy_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

REPEATABLE = re.compile(r"(Create|Fork|Generate|Register|Rotate|Synthesize|StreamChat|StreamSynthesize|Chat)")

Path = tuple[int, ...]


def files() -> list[FileDescriptorProto]:
    raw = importlib.resources.files("antiphon").joinpath("descriptors.binpb").read_bytes()
    return [file for file in FileDescriptorSet.FromString(raw).file if file.package.startswith("antiphon.")]


def methods() -> dict[str, tuple[FileDescriptorProto, Path, MethodDescriptorProto]]:
    return {
        f"{file.package}.{service.name}/{method.name}": (file, (6, i, 2, j), method)
        for file in files()
        for i, service in enumerate(file.service)
        for j, method in enumerate(service.method)
    }


def policy_of(method: MethodDescriptorProto) -> policy_pb2.Policy:
    extensions: Any = method.options.Extensions
    policy = extensions[policy_pb2.policy]
    assert isinstance(policy, policy_pb2.Policy)
    return policy


def comment(file: FileDescriptorProto, path: Path) -> str:
    for location in file.source_code_info.location:
        if tuple(location.path) == path:
            return location.leading_comments.strip()
    return ""


def enum_elements(enum: EnumDescriptorProto, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    for i, value in enumerate(enum.value):
        yield (*path, 2, i), f"{name}.{value.name}"


def message_elements(message: DescriptorProto, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    for i, field in enumerate(message.field):
        yield (*path, 2, i), f"{name}.{field.name}"
    for i, enum in enumerate(message.enum_type):
        yield from enum_elements(enum, (*path, 4, i), f"{name}.{enum.name}")
    for i, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from message_elements(nested, (*path, 3, i), f"{name}.{nested.name}")


def elements(file: FileDescriptorProto) -> Iterator[tuple[Path, str]]:
    """Path and name of all that a reader may ask about; the numbers are descriptor.proto's."""
    for i, message in enumerate(file.message_type):
        yield from message_elements(message, (4, i), message.name)
    for i, enum in enumerate(file.enum_type):
        yield from enum_elements(enum, (5, i), enum.name)
    for i, service in enumerate(file.service):
        yield (6, i), service.name
        for j, method in enumerate(service.method):
            yield (6, i, 2, j), f"{service.name}.{method.name}"
    for i, extension in enumerate(file.extension):
        yield (7, i), extension.name


def test_the_suite_has_a_contract() -> None:
    packages = {file.package for file in files()}
    assert {"antiphon.auth.v1", "antiphon.chat.v1", "antiphon.errors.v1", "antiphon.usage.v1"} <= packages


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_everything_has_a_comment(file: FileDescriptorProto) -> None:
    assert [name for path, name in elements(file) if not comment(file, path)] == []


@pytest.mark.parametrize("rpc", methods())
def test_an_rpc_says_who_may_call_it_and_how_it_fails(rpc: str) -> None:
    file, path, method = methods()[rpc]
    policy = policy_of(method)
    assert policy.access != policy_pb2.ACCESS_UNSPECIFIED, "an RPC needs a policy"
    if policy.access in (policy_pb2.ACCESS_PUBLIC, policy_pb2.ACCESS_SERVICE):
        assert not policy.scope, "no API key is looked at here, so no scope can be asked for"
    assert "Errors:" in comment(file, path)


@pytest.mark.parametrize("rpc", methods())
def test_what_makes_or_charges_can_be_repeated_by_request_id(rpc: str) -> None:
    file, _, method = methods()[rpc]
    if REPEATABLE.match(method.name) is None:
        return
    message = next(
        m for m in file.message_type if file.package + "." + m.name == method.input_type.lstrip(".")
    )
    assert "request_id" in {field.name for field in message.field}
    assert policy_of(method).idempotent
