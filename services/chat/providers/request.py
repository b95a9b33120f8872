"""OpenAI's chat completions as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Any

import msgspec

from services.chat.model import Image, Message, Part, Picture
from services.chat.ports import ModelCall


def request_body(call: ModelCall) -> list[bytes | Picture]:
    """The JSON of a streamed chat completion, in pieces that follow one another. A picture stands for its bytes in base64: those of large ones
    would hold the loop if they were all made at once, and memory while they are sent."""
    # Nobody who writes messages knows it.
    mark, pictures = token_hex(16).encode(), list[Picture]()

    def shown(image: Image) -> msgspec.Raw:
        picture = call.pictures[image]
        pictures.append(picture)
        return msgspec.Raw(b'"data:%s;base64,%s"' % (picture.content_type.encode(), mark))

    texts = _encoded(call, shown).split(mark) if call.pictures else [_encoded(call, shown)]
    pieces: list[bytes | Picture] = [texts[0]]
    for picture, text in zip(pictures, texts[1:], strict=True):
        pieces += (picture, text)
    return pieces


def _encoded(call: ModelCall, shown: Callable[[Image], msgspec.Raw]) -> bytes:
    parameters = call.parameters
    body: dict[str, Any] = {
        "model": call.upstream_model,
        "messages": [_message(message, shown) for message in call.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if parameters.temperature is not None:
        body["temperature"] = parameters.temperature
    if parameters.top_p is not None:
        body["top_p"] = parameters.top_p
    if parameters.max_output_tokens is not None:
        body["max_tokens"] = parameters.max_output_tokens
    if parameters.stop:
        body["stop"] = list(parameters.stop)
    if parameters.seed is not None:
        body["seed"] = parameters.seed
    if parameters.json_schema is not None:
        schema = {"name": "answer", "schema": msgspec.Raw(parameters.json_schema.encode())}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if call.tools:
        body["tools"] = _tools(call)
    return msgspec.json.encode(body)


def _tools(call: ModelCall) -> list[dict[str, Any]]:
    empty = {"type": "object", "properties": {}}
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": msgspec.Raw(tool.parameters.encode()) if tool.parameters else empty,
            },
        }
        for tool in call.tools
    ]


def _message(message: Message, shown: Callable[[Image], msgspec.Raw]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role.value, "content": message.text}
    if message.images:
        made["content"] = [_part(part, shown) for part in message.parts]
    if message.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        made["tool_call_id"] = message.tool_call_id
    return made


def _part(part: Part, shown: Callable[[Image], msgspec.Raw]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": shown(part)}}
