"""Messages of a chat session as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.chat.v1 import chat_pb2

from services.cli.output import flat


def role_of(message: chat_pb2.Message) -> str:
    """Who speaks, such as `user`."""
    if message.role not in chat_pb2.MessageRole.values():
        return "unknown"
    return chat_pb2.MessageRole.Name(message.role).removeprefix("MESSAGE_ROLE_").lower()


def text_of(message: chat_pb2.Message) -> str:
    """What is said; an image is named."""
    return "".join(part.text if part.HasField("text") else _image(part.image) for part in message.parts)


def lines_of(message: chat_pb2.Message) -> list[str]:
    """What is said, line by line, and the tool calls after it."""
    lines = text_of(message).splitlines()
    lines += [f"[tool call: {call.name}({call.arguments_json})]" for call in message.tool_calls]
    return lines


def clipped(lines: Sequence[str], most: int, columns: int) -> list[str]:
    """At most `most` lines of at most `columns` characters; what is left out is told."""
    kept = [line if len(line) <= columns else f"{line[:columns]} …" for line in lines[:most]]
    if len(lines) > most:
        kept.append(f"[{len(lines) - most} more lines]")
    return kept


def _image(image: chat_pb2.Image) -> str:
    return f"[image {flat(image.uri or image.image_id)}]"
