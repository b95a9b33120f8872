"""Checks requests against the rules that the contract states beside their fields."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.message import Message

from services.kernel.errors import InvalidArgument, Violation
from services.runtime.call import Call, Method, Proceed

WHOLE_BYTES = 16 * 1024
"""The size up to which a message that breaks a rule is looked at to its end: two bytes may break one, and each costs microseconds."""
MAXIMUM_NAMED = 100


class Validation:
    """A message that breaks rules is told the first of them; a message of up to 16 KiB up to a hundred, each field once.

    Rules are compiled on first use, or by `warm`.
    """

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def warm(self, methods: Iterable[Method]) -> None:
        """Compile the rules of all requests, some milliseconds of work for the whole contract."""
        for kind in {method.request_class for method in methods}:
            self._validator.collect_violations(kind())

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        collect = self._validator.collect_violations
        if method.internal or not has_rules(method.request_class.DESCRIPTOR):
            return proceed

        async def valid(messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
            async for message in messages:
                violations = collect(message, fail_fast=True)
                if violations:
                    raise self._refusal(message, violations)
                yield message

        async def one(call: Call) -> Any:
            violations = collect(call.message, fail_fast=True)
            if violations:
                raise self._refusal(call.message, violations)
            return await proceed(call)

        async def many(call: Call) -> Any:
            call.message = valid(call.message)
            return await proceed(call)

        return many if method.request_streaming else one

    def _refusal(self, message: Message, first: list[protovalidate.Violation]) -> InvalidArgument:
        # To the end, it would be the checker that goes through hundreds of thousands of items of a list that is too long.
        large = message.ByteSize() > WHOLE_BYTES
        return invalid(first if large else self._validator.collect_violations(message))


def has_rules(message: Any, seen: set[str] | None = None) -> bool:
    """Whether anything in a message, or in the messages within it, has a rule."""
    seen = set() if seen is None else seen
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    return (
        _stated(message, validate_pb2.message)
        or any(_stated(oneof, validate_pb2.oneof) for oneof in message.oneofs)
        or any(_stated(field, validate_pb2.field) for field in message.fields)
        or any(
            has_rules(field.message_type, seen) for field in message.fields if field.message_type is not None
        )
    )


def _stated(described: Any, extension: Any) -> bool:
    return bool(described.GetOptions().HasExtension(extension))


def invalid(violations: list[protovalidate.Violation]) -> InvalidArgument:
    """The error that names the fields that broke a rule, once each: those of the first hundred violations."""
    found: dict[str, str] = {}
    for violation in violations[:MAXIMUM_NAMED]:
        proto = violation.proto
        found.setdefault(path_of(proto.field), _text(proto))
    texts = [f"{field}: {text}" if field else text for field, text in found.items()]
    about = "more than " if len(violations) > MAXIMUM_NAMED else ""
    message = "; ".join(texts[:5]) + (f"; and {about}{len(texts) - 5} more" if len(texts) > 5 else "")
    return InvalidArgument(message, violations=[Violation(field, text) for field, text in found.items()])


def _text(proto: Any) -> str:
    # The contract forbids an enum's zero, and "must not be in list [0]" would tell nobody what to do.
    if proto.rule_id == "enum.not_in":
        return "must be set"
    return proto.message or f"breaks the rule {proto.rule_id}"


def path_of(field: Any) -> str:
    """A field's path as a caller writes it, such as `conversation.messages[2].role` or `labels["size"]`."""
    path = ""
    for element in field.elements if field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            value = subscript.value
            path += f'["{value}"]' if isinstance(value, str) else f"[{value}]"
    return path
