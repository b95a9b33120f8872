"""A conversation's commands and what it goes on from, with and without a login."""

import signal
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2

from antiphon_client import Client, Retries
from antiphon_client.errors import Aborted, NotFound
from services.cli.conversation import converse
from services.cli.dialogue import Dialogue, dialogue_of
from services.cli.line_editing import KEPT_LINES, History, Lines
from services.cli.output import CommandFailed
from services.cli.slash_commands import COMMANDS, Left, SlashCommands
from tests.scripted_server import BROKEN, answer, failing, until_the_caller_leaves
from tests.scripted_sessions import ASSISTANT, USER, ScriptedSessions

QUICK = Retries(first_delay=0.001, max_delay=0.05)
TOKEN = "ak_1_secret"


class Talk:
    """A conversation without a terminal: what is typed, and what came of it."""

    def __init__(self, server: ScriptedSessions, capsys: pytest.CaptureFixture[str], token: str) -> None:
        self.server = server
        self._capsys = capsys
        self.client = Client(server.address, token=token or None, retries=QUICK)
        self.dialogue: Dialogue = dialogue_of(self.client, {}, with_usage=False)
        self._commands = SlashCommands(self.client, self.dialogue)

    def ask(self, question: str) -> str:
        self.dialogue.ask(question)
        return self._capsys.readouterr().out

    def run(self, line: str) -> tuple[str, str]:
        self._commands.run(line)
        told = self._capsys.readouterr()
        return told.out, told.err

    @property
    def session_id(self) -> str:
        return self.dialogue.options.get("session_id", "")

    @property
    def last(self) -> chat_pb2.StreamChatRequest:
        return self.server.asked[-1]


Begin = Callable[..., Talk]


@pytest.fixture
def server() -> Iterator[ScriptedSessions]:
    with ScriptedSessions() as scripted:
        scripted.models = [
            chat_pb2.Model(name="gpt-4o", provider="openai", ready=True, description="A big one."),
            chat_pb2.Model(name="echo", provider="echo", ready=True, description="Repeats."),
            chat_pb2.Model(name="llama", provider="ollama", not_ready_reason="start Ollama"),
        ]
        yield scripted


@pytest.fixture
def begin(server: ScriptedSessions, capsys: pytest.CaptureFixture[str]) -> Iterator[Begin]:
    begun: list[Talk] = []

    def start(token: str = TOKEN) -> Talk:
        begun.append(Talk(server, capsys, token))
        return begun[-1]

    yield start
    for talk in begun:
        talk.client.close()


def test_the_models_that_are_ready_are_listed_and_one_is_chosen(begin: Begin) -> None:
    talk = begin()
    talk.ask("Hi")
    listed, _ = talk.run("/model")
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["gpt-4o", "echo *"]
    talk.run("/model gpt-4o")
    talk.ask("Again")
    assert talk.last.model == "gpt-4o"
    assert talk.server.sessions[0].model == "gpt-4o"
    assert talk.run("/model")[0].startswith("gpt-4o *\t")
    for name, advice in (("gpt-4", "Did you mean gpt-4o?"), ("llama", "/model lists")):
        with pytest.raises(CommandFailed) as caught:
            talk.run(f"/model {name}")
        assert advice in caught.value.advice
    assert talk.dialogue.options["model"] == "gpt-4o"


def test_a_fork_goes_on_in_a_copy_and_leaves_the_rest(begin: Begin) -> None:
    talk = begin()
    for question in ("one", "two", "three"):
        talk.ask(question)
    first = talk.session_id
    _, told = talk.run("/fork 2")
    assert talk.session_id != first
    assert talk.session_id in told
    assert talk.server.texts(talk.session_id) == ["one", "You said: one"]
    talk.ask("other")
    assert talk.server.texts(talk.session_id)[2:] == ["other", "You said: other"]
    assert len(talk.server.texts(first)) == 6
    second = talk.session_id
    talk.run("/fork")
    assert talk.server.texts(talk.session_id) == talk.server.texts(second)
    for wrong in ("/fork 2", "/fork 9", "/fork -1", "/fork x"):
        with pytest.raises(CommandFailed):
            talk.run(wrong)


def test_a_question_is_asked_again_in_a_fork_before_it(begin: Begin) -> None:
    talk = begin()
    with pytest.raises(CommandFailed):
        talk.run("/retry")
    talk.ask("one")
    talk.ask("two")
    first = talk.session_id
    shown, told = talk.run("/retry")
    assert "> two\nYou said: two\n" in shown
    assert first in told
    assert talk.server.texts(talk.session_id) == ["one", "You said: one", "two", "You said: two"]
    assert len(talk.server.texts(first)) == 4


def test_the_very_first_question_is_asked_again_in_a_session_of_its_own(begin: Begin) -> None:
    talk = begin()
    talk.ask("one")
    first = talk.session_id
    talk.run("/retry")
    assert talk.session_id != first
    assert talk.server.texts(talk.session_id) == ["one", "You said: one"]


def test_a_question_that_never_arrived_is_asked_again_where_it_was(begin: Begin) -> None:
    talk = begin()
    talk.ask("one")
    first = talk.session_id
    talk.server.fail("StreamChat", failing(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "no such model"))
    with pytest.raises(NotFound):
        talk.ask("two")
    talk.run("/retry")
    assert talk.session_id == first
    assert talk.server.texts(first) == ["one", "You said: one", "two", "You said: two"]


def test_what_was_kept_of_an_interrupted_answer_is_part_of_the_context(begin: Begin) -> None:
    interrupted = failing(grpc.StatusCode.ABORTED, "GENERATION_INTERRUPTED", "the server stopped")
    for token in ("", TOKEN):
        talk = begin(token)
        talk.server.streams.append([*answer(["half an"], session_id="")[:2], interrupted])
        with pytest.raises(Aborted):
            talk.ask("one")
        if not token:
            talk.ask("two")
            said = [message.parts[0].text for message in talk.last.conversation.messages]
            assert said == ["one", "half an", "two"]


def test_without_a_login_the_conversation_is_its_own_context(begin: Begin) -> None:
    talk = begin("")
    talk.run("/system Be kind.")
    talk.ask("one")
    talk.ask("two")
    assert [message.parts[0].text for message in talk.last.conversation.messages] == [
        "one",
        "You said: one",
        "two",
    ]
    assert talk.last.system_prompt == "Be kind."
    assert not talk.last.session_id
    talk.run("/retry")
    assert [message.parts[0].text for message in talk.last.conversation.messages][-1] == "two"
    assert len(talk.last.conversation.messages) == 3
    assert talk.run("/history")[0] == "> one\nYou said: one\n> two\nYou said: two\n"
    for line in ("/fork", "/session", "/title Sky", "/delete"):
        with pytest.raises(CommandFailed) as caught:
            talk.run(line)
        assert "antiphon login" in caught.value.advice
    talk.run("/new")
    talk.ask("three")
    assert len(talk.last.conversation.messages) == 1
    assert talk.last.system_prompt == "Be kind."


def test_a_conversation_that_grows_forever_leaves_its_oldest_turns_out(begin: Begin) -> None:
    talk = begin("")
    long = "x" * 300_000
    for number in range(5):
        talk.ask(f"{number} {long}")
    asked = [message.parts[0].text for message in talk.last.conversation.messages]
    assert talk.last.ByteSize() < 1_300_000
    assert asked[-1].startswith("4 ")
    assert talk.last.conversation.messages[0].role == USER


def test_instructions_are_kept_by_the_session(begin: Begin) -> None:
    talk = begin()
    talk.run("/system Be kind.")
    talk.ask("one")
    assert talk.last.system_prompt == "Be kind."
    talk.run("/system Be brief.")
    assert talk.server.sessions[0].system_prompt == "Be brief."
    assert talk.run("/system")[0] == "Be brief.\n"
    talk.ask("two")
    assert talk.last.system_prompt == ""
    talk.run("/system -")
    assert talk.server.sessions[0].system_prompt == ""
    assert talk.run("/system")[0] == "(no instructions)\n"


def test_a_session_is_named_shown_and_left(begin: Begin) -> None:
    talk = begin()
    with pytest.raises(CommandFailed):
        talk.run("/session")
    talk.ask("one")
    talk.run("/title The \x1b[31m sky")
    assert "title\tThe [31m sky\n" in talk.run("/session")[0]
    assert talk.run("/title")[0] == "The [31m sky\n"
    talk.run("/new")
    assert talk.session_id == ""
    talk.ask("two")
    assert len(talk.server.sessions) == 2


def test_long_messages_of_the_history_are_clipped(begin: Begin) -> None:
    talk = begin()
    session = talk.server.open(title="Sky")
    talk.server.say(session.session_id, USER, "\n".join(f"line {number}" for number in range(50)))
    talk.server.say(session.session_id, ASSISTANT, "y" * 5000)
    talk.dialogue.options["session_id"] = session.session_id
    shown, _ = talk.run("/history 1")
    lines = shown.splitlines()
    assert lines[0] == "> line 0"
    assert "> [38 more lines]" in lines
    assert max(map(len, lines)) < 450
    talk.server.say(session.session_id, ASSISTANT, "half an", generation_id=session.session_id)
    assert "(the answer broke off" in talk.run("/history 1")[1]


def test_a_misspelt_command_is_told_its_nearest(begin: Begin) -> None:
    talk = begin()
    for line, advice in (("/modle", "Did you mean /model?"), ("/xyzzy", "/help lists")):
        with pytest.raises(CommandFailed) as caught:
            talk.run(line)
        assert advice in caught.value.advice
    with pytest.raises(CommandFailed):
        talk.run("/quit now")
    with pytest.raises(Left):
        talk.run("/QUIT")
    shown, _ = talk.run("/help")
    assert all(name in shown for name in COMMANDS)
    assert max(map(len, shown.splitlines())) < 80


def test_ctrl_c_cancels_the_answer_and_the_conversation_goes_on(begin: Begin) -> None:
    talk = begin()
    talk.ask("one")
    record = answer(["kept ", "rest"], session_id=talk.session_id)
    talk.server.streams.append([*record[:2], until_the_caller_leaves])
    talk.server.streams.append(record[2:])
    threading.Thread(target=_press_ctrl_c_after, args=(talk.server,), daemon=True).start()
    shown = talk.ask("two")
    assert shown.startswith("kept rest\n")
    assert talk.server.cancelled.is_set()
    assert "three" in talk.ask("three")


def _press_ctrl_c_after(server: ScriptedSessions) -> None:
    while len(server.of("StreamChat")) < 2:
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)
    signal.raise_signal(signal.SIGINT)


def test_a_lost_connection_is_noted_once_and_the_text_comes_once(
    begin: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = begin("")
    record = answer(["one ", "two"], session_id="")
    talk.server.streams.append([*record[:2], BROKEN])
    talk.server.streams.append([BROKEN])
    talk.server.streams.append(record[2:])
    talk.dialogue.ask("count")
    told = capsys.readouterr()
    assert told.out == "one \ntwo\n"
    assert told.err.count("resuming") == 1


def typing(*keys: str | type[BaseException]) -> Callable[[str], str]:
    """Types this, then leaves."""
    left = iter(keys)

    def ask(prompt: str) -> str:
        key = next(left, EOFError)
        if isinstance(key, str):
            return key
        raise key

    return ask


def test_what_is_typed_may_have_several_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    keys: list[str | type[BaseException]] = [
        "one \\",
        "two",
        '"""',
        "  three",
        "four\\",
        '"""',
        '"""five"""',
        "",
        "six \\",
        EOFError,
        "seven",
    ]
    lines = Lines(ask=typing(*keys))
    read = [lines.read() for _ in range(6)]
    assert read == ["one \ntwo", "three\nfour\\", "five", "", "", "seven"]
    with pytest.raises(EOFError):
        lines.read()


def test_ctrl_c_clears_the_line_and_twice_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    lines = Lines(ask=typing(KeyboardInterrupt, "one", KeyboardInterrupt, KeyboardInterrupt))
    assert lines.read() == "one"
    with pytest.raises(EOFError):
        lines.read()


def test_the_history_is_private_bounded_and_survives_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "antiphon" / "chat_history"
    history = History(path)
    assert history.load() == []
    history.add("two\nlines")
    history.add("¿qué?")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("a") as file:
        file.write("not JSON\n{}\n")
    assert History(path).load() == ["two\nlines", "¿qué?"]
    for number in range(2 * KEPT_LINES):
        history.add(str(number))
    assert History(path).load()[-1] == str(2 * KEPT_LINES - 1)
    assert len(path.read_text().splitlines()) == KEPT_LINES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"\xff\n")
    assert History(path).load() == []
    History(tmp_path / "antiphon" / "chat_history" / "below").add("nowhere")


def test_a_conversation_is_greeted_reminded_and_told_how_to_go_on(
    begin: Begin, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    talk = begin()
    session = talk.server.open(title="Sky")
    talk.server.say(session.session_id, USER, "Why is it blue?")
    talk.server.say(session.session_id, ASSISTANT, "Because.")
    monkeypatch.setattr("builtins.input", typing("//etc/hosts", "/nothing"))
    converse(talk.client, {"session_id": session.session_id}, talk.server.address)
    told = capsys.readouterr()
    assert told.out.startswith("> Why is it blue?\nBecause.\nYou said: /etc/hosts\n")
    assert "there is no command /nothing" in told.err
    assert f"antiphon chat --session {session.session_id}" in told.err
    with pytest.raises(NotFound):
        converse(talk.client, {"session_id": "0198c5a2-0000-7000-8000-0000000000ff"}, talk.server.address)
