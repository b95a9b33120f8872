"""What callers ask for, as values. Form has been checked by the contract's rules; what the server can't do yet is refused here."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from antiphon.chat.v1 import chat_pb2

from services.capabilities.claims.model import body_digest
from services.capabilities.upstream.errors import UnsupportedInput
from services.chat.mapping.names import on_disconnect_from_proto, role_from_proto
from services.chat.model import (
    ChatCall,
    Image,
    Message,
    Parameters,
    Part,
    Role,
    Tool,
    ToolCall,
    steering_character,
)
from services.kernel.errors import InvalidArgument, Violation

_NUL = "holds a NUL character, which can't be kept; leave it out"

# A schema travels on as it was written; it only has to be an object that a strict reader takes.
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def chat_call(
    request: chat_pb2.StreamChatRequest | chat_pb2.ChatRequest, operation: str, digest_key: bytes
) -> ChatCall:
    """A call for an answer; `digest_key` keys the digest of its body. Raises InvalidArgument for fields that contradict one another, UnsupportedInput for pictures
    where there can be none."""
    kind = request.WhichOneof("input")
    if kind == "conversation" and request.session_id:
        raise InvalidArgument.field(
            "session_id", "a conversation is its own context; leave session_id empty, or send a message"
        )
    if kind == "conversation" and request.images:
        raise InvalidArgument.field(
            "images", "go with a message; those of a conversation are in its messages"
        )
    message: str | None = None
    if kind == "message":
        message = request.message
        if not message.strip():
            raise InvalidArgument.field("message", "is blank; write something to be answered")
    require_storable(message=request.message, project=request.project, system_prompt=request.system_prompt)
    return ChatCall(
        operation=operation,
        request_id=request.request_id.lower(),
        digest=_digest(request, digest_key),
        session_id=request.session_id.lower(),
        project=request.project,
        model=request.model,
        message=message,
        conversation=conversation(request.conversation),
        system_prompt=request.system_prompt,
        parameters=_parameters(request.parameters),
        tools=tuple(_tools(request.tools)),
        on_disconnect=on_disconnect_from_proto(request.on_disconnect),
        disconnect_grace=request.disconnect_grace.ToTimedelta()
        if request.HasField("disconnect_grace")
        else None,
        images=tuple(_image(image, f"images[{index}]") for index, image in enumerate(request.images)),
    )


def require_storable(**texts: str) -> None:
    """Raise InvalidArgument for each text, named by its field, that no store can keep."""
    found = [Violation(field, _NUL) for field, text in texts.items() if "\0" in text]
    if found:
        raise InvalidArgument(f"{', '.join(one.field for one in found)}: {_NUL}", violations=found)


def require_title(field: str, title: str) -> None:
    """Raise InvalidArgument for a title with a character that is no text."""
    character = steering_character(title)
    if character is not None:
        raise InvalidArgument.field(field, f"must not contain the character U+{ord(character):04X}")


def _digest(request: chat_pb2.StreamChatRequest | chat_pb2.ChatRequest, key: bytes) -> bytes:
    """What identifies the body. The two requests have the same fields, so one may repeat the other."""
    if not request.request_id:
        return b""
    body = type(request)()
    body.MergeFromString(request.SerializeToString())
    body.ClearField("request_id")
    return body_digest(key, body.SerializeToString(deterministic=True))


def conversation(request: chat_pb2.Conversation) -> tuple[Message, ...]:
    """The messages of a conversation. Raises UnsupportedInput for pictures of others than users, InvalidArgument for what is empty or can't be kept."""
    return tuple(
        _message(message, f"conversation.messages[{index}]") for index, message in enumerate(request.messages)
    )


def new_message(request: chat_pb2.Message) -> Message:
    """A message to be kept, without an id. Raises as `conversation` does, and for what no model would take back later."""
    message = _message(request, "message")
    tool = message.role is Role.TOOL
    if tool != bool(message.tool_call_id):
        problem = (
            "must name the call that this is the result of" if tool else "is for messages of the role tool"
        )
        raise InvalidArgument.field("message.tool_call_id", problem)
    if message.tool_calls and message.role is not Role.ASSISTANT:
        raise InvalidArgument.field("message.tool_calls", "are for messages of the role assistant")
    # A tool may well have had nothing to say; from others, some models refuse an empty text for as long as the session lives.
    if not (tool or message.tool_calls or message.text or message.images):
        raise InvalidArgument.field("message.parts", "is empty; a message needs content")
    require_storable(
        **{"message.tool_call_id": message.tool_call_id},
        **{
            f"message.tool_calls[{index}].{field}": text
            for index, call in enumerate(message.tool_calls)
            for field, text in (
                ("tool_call_id", call.tool_call_id),
                ("name", call.name),
                ("arguments_json", call.arguments),
            )
        },
    )
    return message


def _message(message: chat_pb2.Message, path: str) -> Message:
    role = role_from_proto(message.role)
    parts: list[Part] = []
    for position, part in enumerate(message.parts):
        if part.WhichOneof("content") == "image":
            field = f"{path}.parts[{position}].image"
            if role is not Role.USER:
                raise UnsupportedInput(field, "pictures are for messages of the role user")
            parts.append(_image(part.image, field))
            continue
        if "\0" in part.text:
            # A conversation is not stored, and what a model repeats of it is.
            raise InvalidArgument.field(f"{path}.parts[{position}].text", _NUL)
        parts.append(part.text)
    blank = role is Role.USER and not any(isinstance(part, Image) or part.strip() for part in parts)
    if blank or (not parts and not message.tool_calls):
        raise InvalidArgument.field(f"{path}.parts", "is empty; a message needs content")
    return Message(
        message_id="",
        role=role,
        parts=tuple(parts),
        tool_calls=tuple(
            ToolCall(call.tool_call_id, call.name, call.arguments_json) for call in message.tool_calls
        ),
        tool_call_id=message.tool_call_id,
    )


def _image(image: chat_pb2.Image, path: str) -> Image:
    return Image(image.image_id.lower(), image.uri, image.owner_token, path)


def _tools(tools: Iterable[chat_pb2.Tool]) -> Iterable[Tool]:
    for index, tool in enumerate(tools):
        if tool.parameters_json_schema:
            _check_schema(f"tools[{index}].parameters_json_schema", tool.parameters_json_schema)
        yield Tool(tool.name, tool.description, tool.parameters_json_schema)


def _check_schema(field: str, text: str) -> None:
    try:
        _object.decode(text)
    except msgspec.ValidationError:
        raise InvalidArgument.field(field, "is no JSON schema; it has to be an object") from None
    except msgspec.DecodeError:
        raise InvalidArgument.field(field, "is not JSON") from None
    except RecursionError:
        raise InvalidArgument.field(field, "is nested too deeply") from None


def _parameters(parameters: chat_pb2.Parameters) -> Parameters:
    def given(name: str) -> bool:
        return parameters.HasField(name)

    if given("json_schema"):
        _check_schema("parameters.json_schema", parameters.json_schema)
    return Parameters(
        temperature=parameters.temperature if given("temperature") else None,
        top_p=parameters.top_p if given("top_p") else None,
        max_output_tokens=parameters.max_output_tokens if given("max_output_tokens") else None,
        stop=tuple(parameters.stop),
        seed=parameters.seed if given("seed") else None,
        json_schema=parameters.json_schema if given("json_schema") else None,
    )
