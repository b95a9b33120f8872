"""What a model gets to read: the system prompt, and as much of the conversation as fits."""

from __future__ import annotations

from collections.abc import Sequence

from services.capabilities.upstream.errors import UnsupportedInput
from services.chat.errors import ContextTooLong
from services.chat.generation.tokens import error_percent, estimate_message_tokens
from services.chat.model import Capability, ChatCall, Message, Role
from services.chat.ports import CatalogModel

# Of a window that is not known this much is taken to be there.
_ASSUMED_CONTEXT_TOKENS = 8192
# For the answer, when the caller sets no limit to it.
_RESERVED_SHARE = 4


def build_context(
    model: CatalogModel, system_prompt: str, history: Sequence[Message], call: ChatCall
) -> tuple[list[Message], int]:
    """The messages for the model, oldest first, and an estimate of the tokens of all that it reads, tools and schema included.

    The oldest turns are dropped first when the window is too small; the system prompt and what is to be answered stay. What is kept of
    the turns before fits also when the estimate is as far too low as those of the model's family are now and then. Raises
    ContextTooLong when what has to stay would not even fit if the estimate were as far too high, and UnsupportedInput for what the
    model can't do.
    """
    _check_capabilities(model, call)
    window = model.context_tokens or _ASSUMED_CONTEXT_TOKENS
    answer = call.parameters.max_output_tokens or 0
    budget = window - min(max(answer, window // _RESERVED_SHARE), window // 2)
    error = error_percent(model.family)

    system = [Message("", Role.SYSTEM, (system_prompt,))] if system_prompt else []
    turns = _joined(history)
    # A conversation may bring its system prompt as its first message.
    while turns and turns[0].role is Role.SYSTEM:
        system.append(turns.pop(0))
    last = _last_turn(turns)
    used = _tools_tokens(call, model.family) + sum(_tokens(one, model.family) for one in (*system, *last))
    if used * 100 > budget * (100 + error) and model.context_tokens:
        raise ContextTooLong(model.name, model.context_tokens)
    kept = last[::-1]
    for message in reversed(turns[: len(turns) - len(last)]):
        tokens = _tokens(message, model.family)
        if (used + tokens) * (100 + error) > budget * 100:
            break
        used += tokens
        kept.append(message)
    # An answer without its question, or a tool's result without its call, would confuse the model.
    while len(last) < len(kept) < len(turns) and kept[-1].role in (Role.ASSISTANT, Role.TOOL):
        used -= _tokens(kept.pop(), model.family)
    return [*system, *reversed(kept)], used


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
        if not message.text and not message.tool_calls and message.role is not Role.TOOL:
            continue
        if turns and message.role is Role.USER and turns[-1].role is Role.USER:
            turns[-1] = Message("", Role.USER, (f"{turns[-1].text}\n\n{message.text}",))
        else:
            turns.append(message)
    return turns


def _tokens(message: Message, family: str) -> int:
    return estimate_message_tokens(message.text, family) + sum(
        estimate_message_tokens(call.name + call.arguments, family) for call in message.tool_calls
    )


def _tools_tokens(call: ChatCall, family: str) -> int:
    """What the model reads of tools and of a schema."""
    tools = (
        estimate_message_tokens(tool.name + tool.description + tool.parameters, family) for tool in call.tools
    )
    schema = call.parameters.json_schema
    return sum(tools) + (estimate_message_tokens(schema, family) if schema else 0)


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
