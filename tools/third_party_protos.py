"""Writes the third-party protos that ours import, from what installed packages carry.

`google/rpc` is in the googleapis-common-protos wheel. protovalidate's wheel carries its contract as a descriptor only,
which is printed here as the source that buf wants.
"""

import importlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from protovalidate._gen.buf.validate import validate_pb  # type: ignore[attr-defined,unused-ignore]

GOOGLE = ("google/rpc/code.proto", "google/rpc/error_details.proto", "google/rpc/status.proto")
VALIDATE = "buf/validate/validate.proto"

Label = descriptor_pb2.FieldDescriptorProto.Label
Type = descriptor_pb2.FieldDescriptorProto.Type


def write(folder: Path) -> None:
    """Write the protos below `folder`; a file that is already right is left alone."""
    distribution = importlib.metadata.distribution("googleapis-common-protos")
    texts = {name: Path(str(distribution.locate_file(name))).read_text(encoding="utf-8") for name in GOOGLE}
    texts[VALIDATE] = "\n".join(_source(_validate())) + "\n"
    for name, text in texts.items():
        target = folder / name
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


def _validate() -> descriptor_pb2.FileDescriptorProto:
    """protovalidate's contract, its own extensions resolved."""
    raw = validate_pb.desc().proto.to_binary()
    file = descriptor_pb2.FileDescriptorProto.FromString(raw)
    pool = descriptor_pool.DescriptorPool()
    for name in file.dependency:
        module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(raw)
    resolved = message_factory.GetMessageClassesForFiles(
        ["google/protobuf/descriptor.proto", VALIDATE], pool
    )["google.protobuf.FileDescriptorProto"].FromString(raw)
    assert isinstance(resolved, Message)
    return resolved  # type: ignore[return-value]


def _source(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    """The lines of a proto2 file as protovalidate's is: no nested types, no groups, no defaults, no services."""
    yield f'syntax = "{file.syntax or "proto2"}";'
    yield f"package {file.package};"
    yield from (f'import "{name}";' for name in file.dependency)
    yield from (f"option {option};" for option in _options(file.options))
    for extension in file.extension:
        yield f"extend {extension.extendee} {{ {_field(extension)} }}"
    for enum in file.enum_type:
        yield f"enum {enum.name} {{"
        yield from (f"  {value.name} = {value.number};" for value in enum.value)
        yield from (f"  reserved {reserved.start} to {reserved.end};" for reserved in enum.reserved_range)
        yield from _reserved_names(enum.reserved_name)
        yield "}"
    for message in file.message_type:
        yield f"message {message.name} {{"
        yield from _members(message)
        yield "}"


def _members(message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    for oneof_index, oneof in enumerate(message.oneof_decl):
        options = "".join(f" option {option};" for option in _options(oneof.options))
        fields = [field for field in message.field if field.HasField("oneof_index")]
        members = " ".join(_field(field) for field in fields if field.oneof_index == oneof_index)
        yield f"  oneof {oneof.name} {{{options} {members} }}"
    yield from (f"  {_field(field)}" for field in message.field if not field.HasField("oneof_index"))
    for extensions in message.extension_range:
        yield f"  extensions {extensions.start} to {extensions.end - 1};"
    for reserved in message.reserved_range:
        yield f"  reserved {reserved.start} to {reserved.end - 1};"
    yield from _reserved_names(message.reserved_name)


def _reserved_names(names: Iterable[str]) -> Iterator[str]:
    yield from (f'  reserved "{name}";' for name in names)


def _field(field: descriptor_pb2.FieldDescriptorProto) -> str:
    label = "" if field.HasField("oneof_index") else f"{Label.Name(field.label)[len('LABEL_') :].lower()} "
    type_name = field.type_name or Type.Name(field.type).removeprefix("TYPE_").lower()
    options = ", ".join(_options(field.options))
    return f"{label}{type_name} {field.name} = {field.number}{f' [{options}]' if options else ''};"


def _options(options: Message) -> Iterator[str]:
    for field, value in options.ListFields():
        name = f"({field.full_name})" if field.is_extension else field.name
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield f"{name} = {{ {text_format.MessageToString(value, as_one_line=True)} }}"
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield f"{name} = {json.dumps(value)}"
        elif field.enum_type is not None:
            yield f"{name} = {field.enum_type.values_by_number[value].name}"
        else:
            yield f"{name} = {str(value).lower()}"
