"""What a model gets to read: the system prompt, and as much of the conversation as fits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from services.capabilities.upstream.errors import UnsupportedInput
from services.chat.errors import ContextTooLong
from services.chat.generation.tokens import error_percent, estimate_message_tokens, picture_tokens
from services.chat.model import Capability, ChatCall, Image, Message, Role
from services.chat.ports import CatalogModel
from services.kernel.errors import InvalidArgument

# Of a window that is not known this much is taken to be there.
_ASSUMED_CONTEXT_TOKENS = 8192
# For the answer, when the caller sets no limit to it.
_RESERVED_SHARE = 4
# As many as most endpoints take in a call, or fewer.
_MOST_PICTURES = 10
# What stands for a picture that the model is not shown.
_UNSEEN = "[image]\n"


def build_context(
    model: CatalogModel, system_prompt: str, history: Sequence[Message], call: ChatCall
) -> tuple[list[Message], int]:
    """The messages for the model, oldest first, and an estimate of the tokens of all that it reads, tools and schema included.

    The oldest turns are dropped first when the window is too small; the system prompt and what is to be answered stay. Of pictures those
    of the newest turns are kept, and words stand for the others, for all of them when the model does not see. What is kept of
    the turns before fits also when the estimate is as far too low as those of the model's family are now and then. Raises
    ContextTooLong when what has to stay would not even fit if the estimate were as far too high, UnsupportedInput for what the
    model can't do, pictures of the call itself among it, and InvalidArgument when these are too many.
    """
    _check_capabilities(model, call)
    _check_pictures(model, asked_images(history))
    window = model.context_tokens or _ASSUMED_CONTEXT_TOKENS
    answer = call.parameters.max_output_tokens or 0
    budget = window - min(max(answer, window // _RESERVED_SHARE), window // 2)
    error = error_percent(model.family)

    system = [Message("", Role.SYSTEM, (system_prompt,))] if system_prompt else []
    turns = _joined(history)
    # A conversation may bring its system prompt as its first message.
    while turns and turns[0].role is Role.SYSTEM:
        system.append(turns.pop(0))
    room = _MOST_PICTURES if Capability.VISION in model.capabilities else 0
    last, room = _seen(_last_turn(turns), room)
    used = _tools_tokens(call, model.family)
    used += sum(message_tokens(one, model.family) for one in (*system, *last))
    if used * 100 > budget * (100 + error) and model.context_tokens:
        raise ContextTooLong(model.name, model.context_tokens)
    kept = last[::-1]
    for whole in reversed(turns[: len(turns) - len(last)]):
        (message,), left = _seen([whole], room)
        tokens = message_tokens(message, model.family)
        if (used + tokens) * (100 + error) > budget * 100:
            break
        used, room = used + tokens, left
        kept.append(message)
    # An answer without its question, or a tool's result without its call, would confuse the model.
    while len(last) < len(kept) < len(turns) and kept[-1].role in (Role.ASSISTANT, Role.TOOL):
        used -= message_tokens(kept.pop(), model.family)
    return [*system, *reversed(kept)], used


def asked_images(history: Sequence[Message]) -> list[Image]:
    """The pictures that the call itself brings in what is to be answered: without them it is not the same question."""
    return [image for message in _last_turn(_joined(history)) for image in message.images if image.path]


def without_unseen(history: Sequence[Message], shown: Collection[Image]) -> list[Message]:
    """The history with words in the place of pictures that are not among those `shown`."""
    return [
        replace(
            message,
            parts=tuple(
                [part if isinstance(part, str) or part in shown else _UNSEEN for part in message.parts]
            ),
        )
        for message in history
    ]


def message_tokens(message: Message, family: str) -> int:
    """About how many tokens a message has, with its tool calls and pictures."""
    tokens = estimate_message_tokens(message.text, family) + sum(
        estimate_message_tokens(call.name + call.arguments, family) for call in message.tool_calls
    )
    return tokens + len(message.images) * picture_tokens(family)


def _seen(messages: Sequence[Message], room: int) -> tuple[list[Message], int]:
    """The messages with as many of their pictures as there is room for, the last ones, and the room that is left."""
    seen: list[Message] = []
    for message in reversed(messages):
        unseen = len(message.images) - room
        room = max(-unseen, 0)
        if unseen > 0:
            places = [place for place, part in enumerate(message.parts) if isinstance(part, Image)]
            struck = set(places[:unseen])
            parts = [_UNSEEN if place in struck else part for place, part in enumerate(message.parts)]
            message = replace(message, parts=tuple(parts))
        seen.append(message)
    return seen[::-1], room


def _last_turn(turns: Sequence[Message]) -> list[Message]:
    """What is to be answered: the last message, and with the results of tools the calls that they belong to."""
    start = len(turns) - 1
    while start > 0 and turns[start].role is Role.TOOL:
        start -= 1
    return list(turns[max(start, 0) :])


def _joined(history: Sequence[Message]) -> list[Message]:
    """The history without empty turns, and with adjacent turns of a person as one, as the templates of many models demand."""
    turns: list[Message] = []
    for message in history:
        if not (message.text or message.images or message.tool_calls or message.role is Role.TOOL):
            continue
        if turns and message.role is Role.USER and turns[-1].role is Role.USER:
            turns[-1] = Message("", Role.USER, (*turns[-1].parts, "\n\n", *message.parts))
        else:
            turns.append(message)
    return turns


def _tools_tokens(call: ChatCall, family: str) -> int:
    """What the model reads of tools and of a schema."""
    tools = (
        estimate_message_tokens(tool.name + tool.description + tool.parameters, family) for tool in call.tools
    )
    schema = call.parameters.json_schema
    return sum(tools) + (estimate_message_tokens(schema, family) if schema else 0)


def _check_pictures(model: CatalogModel, asked: Sequence[Image]) -> None:
    if asked and Capability.VISION not in model.capabilities:
        raise UnsupportedInput(
            asked[0].path,
            f"the model {model.name!r} sees no pictures; leave it out or choose another model",
            model.name,
        )
    if len(asked) > _MOST_PICTURES:
        raise InvalidArgument.field(
            asked[_MOST_PICTURES].path, f"is one too many: a model is shown {_MOST_PICTURES} pictures at most"
        )


def _check_capabilities(model: CatalogModel, call: ChatCall) -> None:
    if call.tools and Capability.TOOLS not in model.capabilities:
        raise UnsupportedInput(
            "tools",
            f"the model {model.name!r} calls no tools; leave them out or choose another model",
            model.name,
        )
    if call.parameters.json_schema and Capability.JSON_SCHEMA not in model.capabilities:
        raise UnsupportedInput(
            "parameters.json_schema",
            f"the model {model.name!r} follows no schema; leave it out or choose another model",
            model.name,
        )
