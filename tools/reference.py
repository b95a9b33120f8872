"""The pages of docs/reference: the contract in Markdown, written from its descriptors and their comments.

`make proto` writes them and `make check` compares them, both by tools/contract.py. Everything is read from the one set of descriptors, options
and rules included, so that a page can't tell of an older contract than the one that it stands for. A rule that has no words here ends the
program: a page never keeps silent about one.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from tools.reference_rules import Unspoken, words

_OURS = "antiphon."
_MADE = "<!-- Made from protos/ by tools/reference.py; `make proto` writes it. -->\n"
_SCALARS = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}
# Numbers of the fields of the descriptors, which the path of a comment is made of.
_PACKAGE, _MESSAGE, _ENUM, _SERVICE, _EXTENSION = 2, 4, 5, 6, 7
_FIELD, _NESTED, _NESTED_ENUM, _ONEOF = 2, 3, 4, 8

_INDEX = """
# The contract

Each RPC, message and enum, as [`protos/`](../../protos/antiphon) states them; [grpcurl.md](../grpcurl.md) shows how each RPC is called.

{packages}

## How to read the pages

**Access** is the least that a caller must be ([Access](antiphon.options.v1.md#access)); a **scope** is what an API key needs besides. A **limit**
is the class of [rate limits](../limits.md) that calls count against. **Idempotent** calls may be repeated without doing anything twice, those
with a `request_id` only with the same one. **Metered** calls are in the [figures](../metering.md), as the modality that is named.

A field's presence is one of these:

| | |
|---|---|
| – | always there; one that was not set is empty, 0 or false, and can't be told from one that was set so |
| optional | can be told to be absent |
| list | any number of them, in order |
| map | keys and their values, in no order |
| one of `name` | at most one of the fields of that name is there |

Rules are checked before an RPC begins; a call that breaks one fails with INVALID_ARGUMENT, and google.rpc.BadRequest names the field. Rules for an
optional field count when it is there. Characters are Unicode code points.
"""


class _Page:
    """One package: what its descriptors say, as Markdown."""

    def __init__(self, package: str, files: Sequence[Any], pool: descriptor_pool.DescriptorPool) -> None:
        self.package = package
        self._files = files
        self._pool = pool
        self._headings: set[str] = set()
        self.services = [service.name for file in files for service in file.service]
        self.summary = next(filter(None, (_comment(file, _PACKAGE) for file in files)), "")

    def text(self) -> str:
        """The whole page."""
        parts = [_MADE, f"# {self.package}", *_prose(self.summary)]
        for file in self._files:
            for number, service in enumerate(file.service):
                parts += self._service(file, number, service)
        messages = [
            part
            for file in self._files
            for number, message in enumerate(file.message_type)
            for part in self._message(file, (_MESSAGE, number), message, "")
        ]
        enums = [
            part
            for file in self._files
            for number, enum in enumerate(file.enum_type)
            for part in self._enum(file, (_ENUM, number), enum, "")
        ]
        options = [
            f"`({self.package}.{extension.name})` of `{extension.extendee[1:]}`: {self._type(extension)}. "
            + _line(_comment(file, _EXTENSION, number))
            for file in self._files
            for number, extension in enumerate(file.extension)
        ]
        for title, section in (("Options", options), ("Messages", messages), ("Enums", enums)):
            if section:
                parts += [f"## {title}", *section]
        return "\n\n".join(part.strip("\n") for part in parts) + "\n"

    def _service(self, file: Any, number: int, service: Any) -> Iterator[str]:
        yield self._heading(2, service.name)
        yield from _prose(_comment(file, _SERVICE, number))
        rows = ["| RPC | Access | Scope | Limit |", "|---|---|---|---|"]
        for method in service.method:
            policy = self._policy(method)
            link = f"[{method.name}](#{_slug(f'{service.name}.{method.name}')})"
            rows.append(
                f"| {link} | {self._access(policy)} | {_code(policy.scope)} | {_code(policy.limit)} |"
            )
        yield "\n".join(rows)
        for index, method in enumerate(service.method):
            yield self._heading(3, f"{service.name}.{method.name}")
            yield self._shape(method)
            yield from _prose(_comment(file, _SERVICE, number, 2, index))
            yield self._conditions(self._policy(method))

    def _shape(self, method: Any) -> str:
        sides = ((method.client_streaming, method.input_type), (method.server_streaming, method.output_type))
        asked, answered = (("stream of " if streams else "") + self._link(name) for streams, name in sides)
        return f"{asked} → {answered}"

    def _policy(self, method: Any) -> Any:
        return method.options.Extensions[self._pool.FindExtensionByName("antiphon.options.v1.policy")]

    def _access(self, policy: Any) -> str:
        return self._value("antiphon.options.v1.Access", policy.access).removeprefix("ACCESS_").lower()

    def _conditions(self, policy: Any) -> str:
        said = [f"Access: [{self._access(policy)}]({self._address('antiphon.options.v1.Access')})"]
        said.append(f"scope: `{policy.scope}`" if policy.scope else "no scope")
        said.append(f"limit: `{policy.limit}`" if policy.limit else "no limit")
        said.append("idempotent" if policy.idempotent else "not idempotent")
        if policy.meter:
            metered = self._value("antiphon.usage.v1.ServiceType", policy.meter)
            said.append(f"metered as `{metered.removeprefix('SERVICE_TYPE_').lower()}`")
        return " · ".join(said)

    def _message(self, file: Any, path: tuple[int, ...], message: Any, outer: str) -> Iterator[str]:
        name = f"{outer}{message.name}"
        yield self._heading(3, name)
        yield from _prose(_comment(file, *path))
        # Each `optional` field of proto3 is in a oneof of its own, which nobody wrote.
        written = {
            field.oneof_index
            for field in message.field
            if field.HasField("oneof_index") and not field.proto3_optional
        }
        rule = self._pool.FindExtensionByName("buf.validate.oneof")
        for index in sorted(written):
            oneof = message.oneof_decl[index]
            needed = oneof.options.Extensions[rule].required
            bound = (
                "Exactly one field of `{}` has to be there."
                if needed
                else "At most one field of `{}` is there."
            )
            yield f"{bound.format(oneof.name)} {_line(_comment(file, *path, _ONEOF, index))}".strip()
        if message.field:
            rows = ["| Field | Type | No. | Presence | Rules | |", "|---|---|---|---|---|---|"]
            rows += [
                self._field(message, field, _comment(file, *path, _FIELD, index))
                for index, field in enumerate(message.field)
            ]
            yield "\n".join(rows)
        else:
            yield "It has no fields."
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from self._message(file, (*path, _NESTED, index), nested, f"{name}.")
        for index, enum in enumerate(message.enum_type):
            yield from self._enum(file, (*path, _NESTED_ENUM, index), enum, f"{name}.")

    def _field(self, message: Any, field: Any, comment: str) -> str:
        entry = next(
            (
                each
                for each in message.nested_type
                if each.options.map_entry and field.type_name.endswith(f".{message.name}.{each.name}")
            ),
            None,
        )
        if entry is not None:
            kind, presence = " to ".join(self._type(side) for side in entry.field), "map"
        else:
            kind, presence = self._type(field), _presence(message, field)
        try:
            rules = words(
                field.options.Extensions[self._pool.FindExtensionByName("buf.validate.field")],
                lambda number: self._value(field.type_name.removeprefix("."), number),
            )
        except Unspoken as error:
            sys.exit(
                f"reference: {self.package}.{message.name}.{field.name} has a rule without words: {error}"
            )
        said = ", ".join(rules).replace("|", "\\|")
        return f"| `{field.name}` | {kind} | {field.number} | {presence} | {said} | {_cell(field.name, comment)} |"

    def _enum(self, file: Any, path: tuple[int, ...], enum: Any, outer: str) -> Iterator[str]:
        yield self._heading(3, f"{outer}{enum.name}")
        yield from _prose(_comment(file, *path))
        rows = ["| Value | No. | |", "|---|---|---|"]
        for index, value in enumerate(enum.value):
            comment = _cell(value.name, _comment(file, *path, _FIELD, index))
            rows.append(f"| `{value.name}` | {value.number} | {comment} |")
        yield "\n".join(rows)

    def _type(self, field: Any) -> str:
        return self._link(field.type_name) if field.type_name else _SCALARS[field.type]

    def _link(self, type_name: str) -> str:
        name = type_name.removeprefix(".")
        return f"[{self._short(name)}]({self._address(name)})" if name.startswith(_OURS) else f"`{name}`"

    def _short(self, name: str) -> str:
        return name.removeprefix(f"{self.package}.")

    def _address(self, name: str) -> str:
        package = _package_of(name)
        page = "" if package == self.package else f"{package}.md"
        return f"{page}#{_slug(name.removeprefix(f'{package}.'))}"

    def _value(self, enum: str, number: int) -> str:
        return str(self._pool.FindEnumTypeByName(enum).values_by_number[number].name)

    def _heading(self, level: int, name: str) -> str:
        if _slug(name) in self._headings:
            sys.exit(f"reference: {self.package} has two things whose anchor is {_slug(name)}")
        self._headings.add(_slug(name))
        return f"{'#' * level} {name}"


def _presence(message: Any, field: Any) -> str:
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "list"
    if field.HasField("oneof_index") and not field.proto3_optional:
        return f"one of `{message.oneof_decl[field.oneof_index].name}`"
    optional = field.proto3_optional or field.type == FieldDescriptorProto.TYPE_MESSAGE
    return "optional" if optional else "–"


def _package_of(name: str) -> str:
    """The package of a type: names of packages are in lower case, those of types are not."""
    return ".".join(part for part in name.split(".") if part[0].islower())


def _slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading that is a name."""
    return heading.lower().replace(".", "")


def _code(text: str) -> str:
    return f"`{text}`" if text else "–"


def _comment(file: Any, *path: int) -> str:
    """What stands above a part of the file; without the blank that each line of a comment begins with."""
    for location in file.source_code_info.location:
        if tuple(location.path) == path:
            lines = location.leading_comments.splitlines()
            return "\n".join(line.removeprefix(" ") for line in lines).strip("\n")
    return ""


def _escaped(text: str) -> str:
    """A text that holds no HTML: angle brackets stay as they are in code alone."""
    parts = text.split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))


def _prose(comment: str) -> Iterator[str]:
    """Paragraphs, each on a line of its own; what is indented stays as it is."""
    for paragraph in re.split(r"\n\s*\n", comment):
        if paragraph.startswith("    "):
            yield paragraph
        elif paragraph.strip():
            yield _linked(_escaped(" ".join(paragraph.split())))


def _line(comment: str) -> str:
    """The same as a cell of a table; what is indented becomes code."""
    said = [
        f"`{paragraph.strip()}`" if paragraph.startswith("    ") else _escaped(" ".join(paragraph.split()))
        for paragraph in re.split(r"\n\s*\n", comment)
    ]
    return " ".join(said).replace("|", "\\|")


def _cell(name: str, comment: str) -> str:
    """The comment of something whose name stands beside it already."""
    return _line(comment.removeprefix(f"{name}: "))


def _linked(paragraph: str) -> str:
    """The errors of an RPC lead to the list of all reasons."""
    if not paragraph.startswith("Errors: "):
        return paragraph
    return "[Errors](antiphon.errors.v1.md#errorreason): " + paragraph.removeprefix("Errors: ")


def pages(descriptors: bytes) -> dict[str, str]:
    """The pages of a serialized FileDescriptorSet with comments, by the names of their files."""
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    # Parsed by the pool's own classes: those know the options that the set itself declares.
    known = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    files: Any = known.FromString(descriptors)
    ours = sorted((file for file in files.file if file.package.startswith(_OURS)), key=lambda file: file.name)
    made = [
        _Page(package, [file for file in ours if file.package == package], pool)
        for package in sorted({file.package for file in ours})
    ]
    rows = ["| Package | Services | |", "|---|---|---|"]
    for page in made:
        services = ", ".join(f"[{name}]({page.package}.md#{_slug(name)})" for name in page.services)
        rows.append(f"| [{page.package}]({page.package}.md) | {services} | {_line(page.summary)} |")
    index = _MADE + _INDEX.format(packages="\n".join(rows))
    return {"README.md": index, **{f"{page.package}.md": page.text() for page in made}}


def write(descriptors: Path, folder: Path) -> None:
    """Write all pages into the folder, which is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(descriptors.read_bytes()).items():
        (folder / name).write_text(text, encoding="utf-8")
