"""Messages of a chat session as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.chat.v1 import chat_pb2

from services.cli.output import flat

_ENDINGS = {
    chat_pb2.FINISH_REASON_LENGTH: "the answer reached its limit of tokens",
    chat_pb2.FINISH_REASON_CONTENT_FILTER: "the provider withheld the rest",
    chat_pb2.FINISH_REASON_CANCELLED: "the answer was cancelled",
}
BROKE_OFF = "the answer broke off: it was interrupted, or failed; what was made is kept"


def role_of(message: chat_pb2.Message) -> str:
    """Who speaks, such as `user`."""
    if message.role not in chat_pb2.MessageRole.values():
        return "unknown"
    return chat_pb2.MessageRole.Name(message.role).removeprefix("MESSAGE_ROLE_").lower()


def text_of(message: chat_pb2.Message) -> str:
    """What is said; a picture is named, and what follows it begins on a line of its own."""
    pieces = [part.text if part.HasField("text") else f"{_image(part.image)}\n" for part in message.parts]
    if pieces and message.parts[-1].HasField("image"):
        pieces[-1] = pieces[-1][:-1]
    return "".join(pieces)


def lines_of(message: chat_pb2.Message) -> list[str]:
    """What is said, line by line, and the tool calls after it."""
    lines = text_of(message).splitlines()
    lines += [f"[tool call: {call.name}({call.arguments_json})]" for call in message.tool_calls]
    return lines


def ending_of(message: chat_pb2.Message) -> str:
    """How an answer ended that is not whole; empty for every other message."""
    # An answer is stored when it has ended; without a reason to have finished, it has not ended well.
    if message.generation_id and message.finish_reason == chat_pb2.FINISH_REASON_UNSPECIFIED:
        return BROKE_OFF
    return _ENDINGS.get(message.finish_reason, "")


def clipped(lines: Sequence[str], most: int, columns: int) -> list[str]:
    """At most `most` lines of at most `columns` characters; what is left out is told."""
    kept = [line if len(line) <= columns else f"{line[:columns]} …" for line in lines[:most]]
    if len(lines) > most:
        kept.append(f"[{len(lines) - most} more lines]")
    return kept


def _image(image: chat_pb2.Image) -> str:
    return f"[image {flat(image.uri or image.image_id)}]"
