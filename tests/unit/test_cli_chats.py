"""`chats` and `models`, and the options of `chat`: what they print and send, and what an export keeps apart."""

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from services.cli.markdown import message_in_markdown, session_in_markdown
from services.cli.program import program
from services.cli.quantities import priced
from tests.scripted_server import answer
from tests.scripted_sessions import ASSISTANT, USER, ScriptedSessions

Antiphon = Callable[..., Result]
UNKNOWN = "0198c5a2-0000-7000-8000-0000000000ff"


@pytest.fixture
def server() -> Iterator[ScriptedSessions]:
    with ScriptedSessions() as scripted:
        yield scripted


@pytest.fixture
def antiphon(server: ScriptedSessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe."""
    monkeypatch.setenv("ANTIPHON_SERVER", server.address)
    monkeypatch.setenv("ANTIPHON_TOKEN", "ak_abc_secret")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(
            program(list(arguments)), list(arguments), input=stdin, prog_name="antiphon"
        )

    return run


def done(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(result: Result, *texts: str, status: int = 1) -> None:
    assert result.exit_code == status, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in result.stderr


def long_talk(server: ScriptedSessions, messages: int) -> str:
    session_id: str = server.open(title="Sky").session_id
    for number in range(messages):
        server.say(session_id, (USER, ASSISTANT)[number % 2], f"message {number}")
    return session_id


def test_an_export_has_every_message_oldest_first(antiphon: Antiphon, server: ScriptedSessions) -> None:
    session_id = long_talk(server, 250)
    markdown = done(antiphon("chats", "export", session_id))
    assert markdown.startswith("# Sky\n")
    assert re.findall(r"^> message (\d+)$", markdown, re.MULTILINE) == [str(number) for number in range(250)]
    for arguments in (("--format", "json"), ("--json",)):
        exported = json.loads(done(antiphon("chats", "export", session_id, *arguments)))
        assert exported["session"]["sessionId"] == session_id
        texts = [message["parts"][0]["text"] for message in exported["messages"]]
        assert texts == [f"message {number}" for number in range(250)]
    empty = server.open().session_id
    assert json.loads(done(antiphon("chats", "export", empty, "--json")))["messages"] == []


def test_an_export_replaces_no_file_unless_it_is_told_to(
    antiphon: Antiphon, server: ScriptedSessions, tmp_path: Path
) -> None:
    session_id = long_talk(server, 2)
    file = tmp_path / "sky.md"
    assert done(antiphon("chats", "export", session_id, "--output", str(file))) == ""
    assert "> message 1" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("mine")
    refused(antiphon("chats", "export", session_id, "-o", str(file)), "is there already", "--force")
    assert file.read_text() == "mine"
    done(antiphon("chats", "export", session_id, "-o", str(file), "--force"))
    assert "> message 1" in file.read_text()
    refused(
        antiphon("chats", "export", session_id, "-o", str(tmp_path / "no" / "sky.md")), "can't be written"
    )
    refused(antiphon("chats", "export", UNKNOWN, "-o", str(tmp_path / "other.md")), "no chat session")
    assert sorted(path.name for path in tmp_path.iterdir() if "sky" in path.name or "other" in path.name) == [
        "sky.md"
    ]


texts = st.text(st.sampled_from("ab\n\r`#>-~=<!*[]\\\u2028\x0b \t"), max_size=60)


@given(text=texts, title=texts, name=texts, arguments=texts)
def test_whatever_was_said_stays_inside_of_its_quote(
    text: str, title: str, name: str, arguments: str
) -> None:
    session = chat_pb2.Session(session_id=UNKNOWN, title=title, system_prompt=text)
    call = chat_pb2.ToolCall(tool_call_id=name, name=name, arguments_json=arguments)
    message = chat_pb2.Message(
        role=ASSISTANT, parts=[chat_pb2.Part(text=text)], tool_calls=[call], model="echo"
    )
    head, turn = session_in_markdown(session, 1), message_in_markdown(message, 1)
    # A line ends where Markdown sees one end.
    lines = re.split(r"\r\n|\r|\n", head + turn)
    assert lines[0].startswith("# ")
    fence = ""
    headings = []
    quoted = []
    for line in lines:
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.removesuffix("json")
            assert set(fence) == {"`"}
        elif line.startswith("#"):
            headings.append(line)
        elif line.startswith(">"):
            quoted.append(line.removeprefix(">").removeprefix(" "))
        else:
            assert line == "" or line.startswith(("- ", "Tool call ")), line
    assert fence == ""
    assert [line.split()[0] for line in headings] == ["#", *(["##"] if text else []), "##"]
    assert quoted == re.split(r"\r\n|\r|\n", text) * 2 or not text


def test_a_session_is_forked_at_its_newest_message_or_where_one_says(
    antiphon: Antiphon, server: ScriptedSessions
) -> None:
    session_id = long_talk(server, 4)
    fork = done(antiphon("chats", "fork", session_id)).strip()
    assert len(server.texts(fork)) == 4
    shown = done(antiphon("chats", "show", session_id, "--ids"))
    second = re.findall(r"^\[(.*)\]$", shown, re.MULTILINE)[1]
    told = json.loads(
        done(antiphon("chats", "fork", session_id, "--at", second, "--title", "Dusk", "--json"))
    )
    assert (told["session"]["title"], told["session"]["forkedFromSessionId"]) == ("Dusk", session_id)
    assert len(server.texts(told["session"]["sessionId"])) == 2
    refused(antiphon("chats", "fork", server.open().session_id), "no messages to copy")
    refused(antiphon("chats", "fork", UNKNOWN), f"there is no chat session {UNKNOWN}", "antiphon chats list")


def test_words_are_found_with_the_session_and_the_message(
    antiphon: Antiphon, server: ScriptedSessions
) -> None:
    session_id = long_talk(server, 30)
    lines = done(antiphon("chats", "search", "message", "--limit", "25")).splitlines()
    assert len(lines) == 25
    assert lines[0].split("\t")[0] == session_id
    assert lines[0].split("\t")[3:] == ["user", "message 0"]
    one = json.loads(done(antiphon("chats", "search", "message", "17", "--session", session_id, "--json")))
    assert [hit["snippet"] for hit in one["hits"]] == ["message 17"]
    assert "nothing was found" in antiphon("chats", "search", "green").stderr
    refused(antiphon("chats", "search", "  "), "nothing to look for", status=2)


def test_a_session_is_renamed_put_away_and_deleted(antiphon: Antiphon, server: ScriptedSessions) -> None:
    session_id = long_talk(server, 2)
    assert "Dusk" in antiphon("chats", "rename", session_id, "Dusk").stderr
    assert json.loads(done(antiphon("chats", "archive", session_id, "--json")))["session"]["archived"]
    assert "in the list again" in antiphon("chats", "archive", session_id, "--undo").stderr
    assert (server.sessions[0].title, server.sessions[0].archived) == ("Dusk", False)
    refused(antiphon("chats", "delete", session_id), "--yes", status=2)
    assert len(server.sessions) == 1
    assert json.loads(done(antiphon("chats", "delete", session_id, "--yes", "--json"))) == {
        "sessionId": session_id
    }
    assert server.sessions == []
    for command in (("rename", UNKNOWN, "x"), ("archive", UNKNOWN), ("delete", UNKNOWN, "--yes")):
        refused(antiphon("chats", *command), "there is no chat session")


def test_models_tell_window_prices_and_fallbacks(antiphon: Antiphon, server: ScriptedSessions) -> None:
    price = chat_pb2.ModelPrice
    prices = [
        price(unit=usage_pb2.UNIT_INPUT_TOKENS, nano_usd_per_million=2_500_000_000),
        price(unit=usage_pb2.UNIT_OUTPUT_TOKENS, nano_usd_per_million=10_000_000_000),
    ]
    server.models = [
        chat_pb2.Model(
            name="gpt-4o",
            provider="openai",
            ready=True,
            context_tokens=128000,
            fallbacks=["a", "b"],
            prices=prices,
        )
    ]
    line = done(antiphon("models")).splitlines()[0]
    assert line.split("\t") == [
        "gpt-4o",
        "ready",
        "openai",
        "128,000 tokens",
        "input $2.50, output $10",
        "a, b",
        "",
    ]
    tiny = [price(unit=usage_pb2.UNIT_CACHED_INPUT_TOKENS, nano_usd_per_million=75_000)]
    assert priced(tiny) == "cached input $0.000075"


def test_tokens_are_counted_instead_of_asked(antiphon: Antiphon, server: ScriptedSessions) -> None:
    counted = antiphon("chat", "--count", "three short words", "--model", "gpt-4o")
    assert done(counted) == "3\n"
    assert "estimated for gpt-4o, mostly within 12 %" in counted.stderr
    assert json.loads(done(antiphon("chat", "--count", "--json", stdin="one two")))["inputTokens"] == "2"
    assert not server.asked


def test_pictures_go_with_the_text(antiphon: Antiphon, server: ScriptedSessions) -> None:
    named = ("--image-url", "https://a.b/c", "--image-id", UNKNOWN, "--image-url", "https://a.b/d")
    assert done(antiphon("chat", *named, "Which is it?")) == "You said: Which is it?\n"
    (request,) = server.asked
    assert request.message == "Which is it?"
    assert [image.uri or image.image_id for image in request.images] == [
        UNKNOWN,
        "https://a.b/c",
        "https://a.b/d",
    ]
    assert done(antiphon("chat", "--count", *named, "Which is it?")) == "3\n"
    refused(antiphon("chat", "--image-id", "cat", "What?"), "no id of an image", status=2)
    refused(antiphon("chat", "--image-url", "cat.png", "What?"), "--image-url", "A file", status=2)


def test_an_image_that_was_made_without_a_login_goes_with_its_token(
    antiphon: Antiphon, server: ScriptedSessions
) -> None:
    named = ("--owner-token", "it_1", "--image-id", UNKNOWN, "--image-id", UNKNOWN)
    done(antiphon("chat", *named, "Which is it?"))
    assert [image.owner_token for image in server.asked[0].images] == ["it_1", ""]
    refused(antiphon("chat", "--owner-token", "it_1", "What?"), "--image-id", status=2)


def test_pictures_of_a_session_are_named(antiphon: Antiphon, server: ScriptedSessions) -> None:
    session_id = server.open(title="Cats").session_id
    message = server.say(session_id, USER, "Look")
    message.parts.insert(0, chat_pb2.Part(image=chat_pb2.Image(uri="https://a.b/c")))
    message.parts.append(chat_pb2.Part(image=chat_pb2.Image(image_id=UNKNOWN)))
    shown = done(antiphon("chats", "show", session_id))
    assert f"\n  [image https://a.b/c]\n  Look[image {UNKNOWN}]\n" in shown
    exported = done(antiphon("chats", "export", session_id))
    assert f"\n> [image https://a.b/c]\n> Look[image {UNKNOWN}]\n" in exported
    told = json.loads(done(antiphon("chats", "export", session_id, "--format", "json")))
    first, text, last = told["messages"][0]["parts"]
    assert (first["image"]["uri"], text["text"], last["image"]["imageId"]) == (
        "https://a.b/c",
        "Look",
        UNKNOWN,
    )


def test_usage_and_another_model_are_noted_beside_the_text(
    antiphon: Antiphon, server: ScriptedSessions
) -> None:
    record = answer(["Hello"], session_id="")
    usage: Any = record[-1].finished.usage
    usage.provenance = usage_pb2.PROVENANCE_ESTIMATED
    usage.quantities.add(unit=usage_pb2.UNIT_INPUT_TOKENS, amount=12)
    usage.quantities.add(unit=usage_pb2.UNIT_OUTPUT_TOKENS, amount=40)
    instead = chat_pb2.Fallback(
        model="github/gpt-4o", failed_model="gpt-4o", error_reason="PROVIDER_RATE_LIMITED"
    )
    record.insert(1, chat_pb2.ChatEvent(fallback=instead))
    for number, event in enumerate(record, start=1):
        event.first_seq = event.seq = number
    server.streams.append(record)
    asked = antiphon("chat", "Hi", "--usage")
    assert done(asked) == "Hello\n"
    assert asked.stderr.splitlines() == [
        "(gpt-4o did not answer (PROVIDER_RATE_LIMITED); github/gpt-4o answers)",
        "(12 input tokens, 40 output tokens, estimated)",
    ]
