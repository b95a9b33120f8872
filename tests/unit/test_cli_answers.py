"""An answer on a terminal, in a pipe, for a program."""

import json

import pytest
from antiphon.chat.v1 import chat_pb2

from services.cli.answer import JsonAnswer, TextAnswer
from services.cli.output import print_table, shown
from tests.scripted_server import answer


def reasoning(text: str) -> chat_pb2.ChatEvent:
    return chat_pb2.ChatEvent(reasoning_delta=chat_pb2.ReasoningDelta(text=text))


def text(words: str) -> chat_pb2.ChatEvent:
    return chat_pb2.ChatEvent(text_delta=chat_pb2.TextDelta(text=words))


def show(rendering: TextAnswer | JsonAnswer, *events: chat_pb2.ChatEvent) -> None:
    for event in events:
        rendering.show(event)
    rendering.end()


def test_a_pipe_gets_the_text_alone(capsys: pytest.CaptureFixture[str]) -> None:
    show(TextAnswer(on_terminal=False), reasoning("hm"), text("\x1b[2Ja"), text("b"))
    assert capsys.readouterr().out == "\x1b[2Jab\n"


def test_an_answer_ends_with_one_newline(capsys: pytest.CaptureFixture[str]) -> None:
    show(TextAnswer(on_terminal=False), *answer(["one", " two\n"]))
    assert capsys.readouterr().out == "one two\n"


def test_a_model_can_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(TextAnswer(on_terminal=True), text("\x1b]0;title\x07red\x9b31m\tend"))
    assert capsys.readouterr().out == "]0;titlered31m\tend\n"
    assert shown("a\x00b\r\n", True) == "ab\n"


@pytest.mark.parametrize("no_color", [False, True])
def test_reasoning_is_dimmed_on_a_terminal_with_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    show(TextAnswer(on_terminal=True), reasoning("let me"), reasoning(" see"), text("Yes"))
    expected = "let me see\n\nYes\n" if no_color else "\x1b[2mlet me see\x1b[0m\n\nYes\n"
    assert capsys.readouterr().out == expected


def test_tool_calls_and_ends_that_need_a_word_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    first = chat_pb2.ToolCallDelta(index=0, tool_call_id="1", name="weather", arguments_json='{"city":')
    second = chat_pb2.ToolCallDelta(index=0, arguments_json='"Lima"}')
    show(
        TextAnswer(on_terminal=False),
        chat_pb2.ChatEvent(tool_call_delta=first),
        chat_pb2.ChatEvent(tool_call_delta=second),
        chat_pb2.ChatEvent(citation=chat_pb2.Citation(title="Atlas", uri="https://atlas.example")),
        chat_pb2.ChatEvent(finished=chat_pb2.Finished(reason=chat_pb2.FINISH_REASON_LENGTH)),
    )
    told = capsys.readouterr()
    assert told.out == ""
    assert 'weather({"city":"Lima"})' in told.err
    assert "Atlas https://atlas.example" in told.err
    assert "limit of tokens" in told.err


def test_programs_get_an_event_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(JsonAnswer(), *answer(["¿Qué\ntal?"]))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seq"] for line in lines] == ["1", "2", "3"]
    assert lines[1]["textDelta"]["text"] == "¿Qué\ntal?"
    assert lines[2]["finished"]["reason"] == "FINISH_REASON_STOP"


def test_a_table_in_a_pipe_is_for_cut_and_awk(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [("1", "two\twords\nhere"), ("2", "")], "none")
    assert capsys.readouterr().out == "1\ttwo words here\n2\t\n"
    print_table(("A", "B"), [], "there is nothing")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "there is nothing\n")
