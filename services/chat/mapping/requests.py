"""What callers ask for, as values. Form has been checked by the contract's rules; what the server can't do yet is refused here."""

from __future__ import annotations

import json
from collections.abc import Iterable

from antiphon.chat.v1 import chat_pb2

from services.capabilities.claims.model import body_digest
from services.chat.errors import UnsupportedInput
from services.chat.mapping.names import on_disconnect_from_proto, role_from_proto
from services.chat.model import ChatCall, Message, Parameters, Role, Tool, ToolCall
from services.kernel.errors import InvalidArgument


def chat_call(
    request: chat_pb2.StreamChatRequest | chat_pb2.ChatRequest, operation: str, digest_key: bytes
) -> ChatCall:
    """A call for an answer; `digest_key` keys the digest of its body. Raises UnsupportedInput for images, InvalidArgument for fields that contradict one another."""
    kind = request.WhichOneof("input")
    if kind == "conversation" and request.session_id:
        raise InvalidArgument.field(
            "session_id", "a conversation is its own context; leave session_id empty, or send a message"
        )
    message: str | None = None
    if kind == "message":
        message = request.message
        if not message.strip():
            raise InvalidArgument.field("message", "is blank; write something to be answered")
        _check_storable("message", message)
    _check_storable("project", request.project)
    _check_storable("system_prompt", request.system_prompt)
    return ChatCall(
        operation=operation,
        request_id=request.request_id.lower(),
        digest=_digest(request, digest_key),
        session_id=request.session_id.lower(),
        project=request.project,
        model=request.model,
        message=message,
        conversation=tuple(_messages(request.conversation.messages)),
        system_prompt=request.system_prompt,
        parameters=_parameters(request.parameters),
        tools=tuple(_tools(request.tools)),
        on_disconnect=on_disconnect_from_proto(request.on_disconnect),
        disconnect_grace=request.disconnect_grace.ToTimedelta()
        if request.HasField("disconnect_grace")
        else None,
    )


def _check_storable(field: str, text: str) -> None:
    if "\0" in text:
        raise InvalidArgument.field(field, "holds a NUL character, which can't be kept; leave it out")


def _digest(request: chat_pb2.StreamChatRequest | chat_pb2.ChatRequest, key: bytes) -> bytes:
    """What identifies the body. The two requests have the same fields, so one may repeat the other."""
    if not request.request_id:
        return b""
    body = type(request)()
    body.MergeFromString(request.SerializeToString())
    body.ClearField("request_id")
    return body_digest(key, body.SerializeToString(deterministic=True))


def _messages(messages: Iterable[chat_pb2.Message]) -> Iterable[Message]:
    for index, message in enumerate(messages):
        texts = []
        for position, part in enumerate(message.parts):
            if part.WhichOneof("content") == "image":
                raise UnsupportedInput(
                    f"conversation.messages[{index}].parts[{position}].image",
                    "images can't be read yet; send text",
                )
            texts.append(part.text)
        role = role_from_proto(message.role)
        blank = role is Role.USER and not "".join(texts).strip()
        if blank or (not texts and not message.tool_calls):
            raise InvalidArgument.field(
                f"conversation.messages[{index}].parts", "is empty; a message needs content"
            )
        yield Message(
            message_id="",
            role=role,
            texts=tuple(texts),
            tool_calls=tuple(
                ToolCall(call.tool_call_id, call.name, call.arguments_json) for call in message.tool_calls
            ),
            tool_call_id=message.tool_call_id,
        )


def _tools(tools: Iterable[chat_pb2.Tool]) -> Iterable[Tool]:
    for index, tool in enumerate(tools):
        if tool.parameters_json_schema:
            _check_schema(f"tools[{index}].parameters_json_schema", tool.parameters_json_schema)
        yield Tool(tool.name, tool.description, tool.parameters_json_schema)


def _check_schema(field: str, text: str) -> None:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument.field(field, "is not JSON") from None
    if not isinstance(schema, dict):
        raise InvalidArgument.field(field, "is no JSON schema; it has to be an object")


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
