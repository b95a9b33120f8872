"""What a model gets to read, within its window."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.capabilities.upstream.errors import UnsupportedInput
from services.chat.errors import ContextTooLong
from services.chat.generation.tokens import error_percent, estimate_message_tokens
from services.chat.model import Capability, Message, Parameters, Role, Tool, ToolCall
from services.chat.usecases.context import build_context
from tests.fakes.chat_play import a_call, a_model

roles = st.sampled_from([Role.USER, Role.ASSISTANT])
messages = st.builds(
    lambda role, text: Message("", role, (text,)), roles, st.text(st.characters(codec="utf-8"), max_size=40)
)
questions = st.text(min_size=1, max_size=40).map(lambda text: Message("", Role.USER, (text,)))


def tokens(context: list[Message]) -> int:
    return sum(
        estimate_message_tokens(m.text)
        + sum(estimate_message_tokens(c.name + c.arguments) for c in m.tool_calls)
        for m in context
    )


@given(
    st.lists(messages, max_size=12),
    questions,
    st.text(max_size=30),
    st.integers(8, 400),
    st.none() | st.integers(1, 400),
)
def test_a_context_keeps_to_its_budget_and_to_the_conversation(
    history: list[Message], question: Message, prompt: str, window: int, limit: int | None
) -> None:
    call = a_call(parameters=Parameters(max_output_tokens=limit))
    try:
        context, used = build_context(a_model(window), prompt, [*history, question], call)
    except ContextTooLong:
        # Only what has to be there does not fit: the prompt, and the person's last words.
        assert tokens([Message("", Role.SYSTEM, (prompt,)), question, *history]) > window // 2
        return
    assert used == tokens(context)
    answer = min(max(limit or 0, window // 4), window // 2)
    # The last words are sent when they may fit, what came before them when it fits in all likelihood.
    budget, error = window - answer, error_percent("")
    assert used * 100 <= budget * (100 + error)
    if len(context) > 1 + bool(prompt):
        assert used * (100 + error) <= budget * 100
    # The system prompt is kept, and stands first.
    assert [m.text for m in context if m.role is Role.SYSTEM] == ([prompt] if prompt else [])
    turns = context[1:] if prompt else context
    # What is to be answered is kept, and stands last.
    assert turns[-1].role is Role.USER
    assert turns[-1].text.endswith(question.text)
    # No two turns of the person stand side by side, and no turn is empty.
    assert not any(a.role is b.role is Role.USER for a, b in pairwise(turns))
    assert all(turn.text for turn in turns)
    # What was dropped is the oldest part: the rest is the end of the whole.
    whole, _ = build_context(a_model(10**9), prompt, [*history, question], call)
    assert context == [*whole[: 1 if prompt else 0], *whole[len(whole) - len(turns) :]]
    if len(context) < len(whole):
        assert turns[0].role is Role.USER


@given(st.lists(messages, max_size=12), questions)
def test_no_more_is_dropped_than_has_to_be(history: list[Message], question: Message) -> None:
    whole, used = build_context(a_model(10**9), "", [*history, question], a_call())
    assume(used > 1)
    window = used * (100 + error_percent("")) // 100 * 4 // 3 + 4
    fits, _ = build_context(a_model(window), "", [*history, question], a_call())
    assert fits == whole


def test_an_unknown_window_is_taken_to_be_a_usual_one() -> None:
    history = [Message("", role, ("x" * 4000,)) for _ in range(20) for role in (Role.USER, Role.ASSISTANT)]
    context, used = build_context(a_model(0), "", [*history, Message("", Role.USER, ("now",))], a_call())
    assert 1 < len(context) < 20
    assert used <= 8192
    # And what a person writes is sent all the same, since nobody knows that it does not fit.
    long = [Message("", Role.USER, ("x" * 100_000,))]
    assert build_context(a_model(0), "", long, a_call())[0] == long


def test_a_conversation_that_brings_its_system_prompt_keeps_it() -> None:
    system = Message("", Role.SYSTEM, ("be brief",))
    history = [system, *[Message("", r, ("x" * 80,)) for _ in range(20) for r in (Role.USER, Role.ASSISTANT)]]
    context, _ = build_context(a_model(200), "", [*history, Message("", Role.USER, ("now",))], a_call())
    assert context[0] == system
    assert context[1].role is Role.USER
    assert len(context) < len(history)


def test_results_of_tools_stay_with_the_calls_that_they_belong_to() -> None:
    asked = Message("", Role.USER, ("look it up " * 40,))
    called = Message(
        "", Role.ASSISTANT, (), tool_calls=(ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}"))
    )
    results = [Message("", Role.TOOL, ("",), tool_call_id=id_) for id_ in ("c1", "c2")]
    model = a_model(100, [Capability.TOOLS])
    context, _ = build_context(model, "", [asked, called, *results], a_call())
    assert context == [called, *results]
    long = [Message("", Role.TOOL, ("x" * 400,), tool_call_id="c1"), results[1]]
    with pytest.raises(ContextTooLong):
        build_context(model, "", [asked, called, *long], a_call())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tools": (Tool("look", "", ""),)}, "tools"),
        ({"parameters": Parameters(json_schema="{}")}, "parameters.json_schema"),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_its_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(UnsupportedInput) as refused:
        build_context(a_model(), "", [Message("", Role.USER, ("hi",))], a_call(**changes))
    assert [violation.field for violation in refused.value.violations] == [field]
    able = a_model(0, [Capability.TOOLS, Capability.JSON_SCHEMA])
    build_context(able, "", [Message("", Role.USER, ("hi",))], a_call(**changes))
