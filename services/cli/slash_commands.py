"""What a line that begins with a slash does in a conversation."""

from __future__ import annotations

import difflib
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from antiphon.chat.v1 import chat_pb2

from antiphon_client import Client
from services.cli.dialogue import Dialogue
from services.cli.messages import clipped, ending_of, lines_of
from services.cli.output import CommandFailed, note, print_fields, print_table, shown
from services.cli.prompts import confirm

SHOWN_LINES = 12
SHOWN_COLUMNS = 400
SHOWN_TURNS = 10
REPEATED_LINES = 3
NONE = "-"
RETRY = "/retry"
KEYS = (
    "A line that ends with \\ goes on in the next one.",
    '""" begins and ends several lines.',
    "A line that begins with // is sent, with one / less.",
    "Ctrl-C cancels an answer, and clears a line. Ctrl-D leaves.",
)


class Left(Exception):
    """The person leaves the conversation."""


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """What follows its name, what it does in a few words, and the doing."""

    argument: str
    summary: str
    run: Callable[[SlashCommands, str], None]


class SlashCommands:
    """Does what such a line says."""

    def __init__(self, client: Client, dialogue: Dialogue) -> None:
        self._client = client
        self._dialogue = dialogue

    def run(self, line: str) -> None:
        """Raises CommandFailed, AntiphonError, and Left."""
        name, _, argument = line.partition(" ")
        command = COMMANDS.get(name.lower())
        if command is None:
            near = difflib.get_close_matches(name.lower(), COMMANDS, 1, 0.5)
            advice = f"Did you mean {near[0]}?" if near else "/help lists the commands."
            raise CommandFailed(
                f"there is no command {name}", f"{advice} To send such a line, begin it with //."
            )
        if argument.strip() and not command.argument:
            raise CommandFailed(f"{name} takes nothing after it")
        command.run(self, argument.strip())

    def _help(self, _: str) -> None:
        columns = shutil.get_terminal_size().columns
        for name, command in COMMANDS.items():
            print(f"{name} {command.argument}".rstrip())
            print(textwrap.fill(command.summary, columns, initial_indent="    ", subsequent_indent="    "))
        for line in KEYS:
            print(textwrap.fill(line, columns))

    def _model(self, name: str) -> None:
        catalog = self._client.list_models()
        ready = [model for model in catalog.models if model.ready]
        if not name:
            current = self._dialogue.options.get("model") or self._session_model() or catalog.default_model
            rows = [
                (f"{model.name}{' *' if model.name == current else ''}", model.provider, _about(model))
                for model in ready
            ]
            print_table(("MODEL", "PROVIDER", "ABOUT"), rows, "no model is ready")
            return
        found = next((model for model in catalog.models if model.name == name), None)
        if found is None:
            near = difflib.get_close_matches(name, [model.name for model in ready], 1, 0.4)
            advice = f"Did you mean {near[0]}?" if near else "/model lists those that are ready."
            raise CommandFailed(f"there is no model {name}", advice)
        if not found.ready:
            raise CommandFailed(
                f"{name} is not ready: {found.not_ready_reason}", "/model lists those that are."
            )
        self._dialogue.set_model(name)
        note(f"({name} answers from here on)")

    def _session_model(self) -> str:
        try:
            return self._dialogue.session().model
        except CommandFailed:
            return ""

    def _fork(self, turns: str) -> None:
        if turns and not (turns.isascii() and turns.isdigit() and len(turns) < 10):
            raise CommandFailed(f"/fork takes a number of turns, such as /fork 2, and not {turns}")
        fork = self._dialogue.fork(int(turns or 0))
        note(f"(this goes on in the fork {fork.session_id})")

    def _new(self, _: str) -> None:
        self._dialogue.begin_anew()
        note("(a new conversation)")

    def _session(self, _: str) -> None:
        session = self._dialogue.session()
        print_fields(
            [
                ("session", session.session_id),
                ("title", session.title),
                ("model", self._dialogue.options.get("model") or session.model),
                ("system", session.system_prompt),
                ("project", session.project),
                ("fork of", session.forked_from_session_id),
            ]
        )

    def _title(self, title: str) -> None:
        if not title:
            print(shown(self._dialogue.session().title or "(no title)", True))
            return
        self._dialogue.rename(title)
        note("(renamed)")

    def _system(self, prompt: str) -> None:
        if not prompt:
            print(shown(self._dialogue.system() or "(no instructions)", True))
            return
        self._dialogue.set_system("" if prompt == NONE else prompt)
        note("(no instructions any more)" if prompt == NONE else "(instructions kept)")

    def _history(self, turns: str) -> None:
        if turns and not (turns.isascii() and turns.isdigit() and 0 < len(turns) < 5):
            raise CommandFailed(f"/history takes a number of turns, and not {turns}")
        show_turns(self._dialogue, int(turns or SHOWN_TURNS))

    def _retry(self, _: str) -> None:
        before = self._dialogue.options.get("session_id", "")
        question = self._dialogue.step_back()
        after = self._dialogue.options.get("session_id", "")
        if after != before:
            note(f"(this goes on in {after}; the first answer stays in {before})")
        for line in clipped(question.splitlines(), REPEATED_LINES, SHOWN_COLUMNS):
            print(f"> {shown(line, True)}")
        self._dialogue.ask(question)

    def _delete(self, _: str) -> None:
        session = self._dialogue.session()
        confirm(f'Delete "{session.title or session.session_id}" and its messages?', yes=False)
        self._dialogue.delete()
        note("(deleted; the next question opens a new chat session)")

    def _quit(self, _: str) -> None:
        raise Left


def show_turns(dialogue: Dialogue, turns: int) -> None:
    """The newest turns, as they looked when they were written. Long messages are clipped."""
    messages = dialogue.messages(turns)
    if not messages:
        note("(nothing was said yet)")
    for message in messages:
        marks = "> " if message.role == chat_pb2.MESSAGE_ROLE_USER else ""
        for line in clipped(lines_of(message), SHOWN_LINES, SHOWN_COLUMNS):
            print(f"{marks}{shown(line, True)}")
        if ending := ending_of(message):
            note(f"({ending})")


def _about(model: chat_pb2.Model) -> str:
    return model.description or model.display_name


COMMANDS = {
    "/help": SlashCommand("", "shows this", SlashCommands._help),
    "/model": SlashCommand(
        "[NAME]", "has another model answer; lists those that are ready", SlashCommands._model
    ),
    "/system": SlashCommand(
        "[TEXT]", "instructs the model; - takes the instructions back", SlashCommands._system
    ),
    RETRY: SlashCommand("", "asks the last question again", SlashCommands._retry),
    "/fork": SlashCommand("[N]", "goes on in a copy, N turns back", SlashCommands._fork),
    "/new": SlashCommand("", "begins a new conversation", SlashCommands._new),
    "/history": SlashCommand("[N]", "shows the last turns", SlashCommands._history),
    "/session": SlashCommand("", "shows the chat session", SlashCommands._session),
    "/title": SlashCommand("[TEXT]", "names the chat session", SlashCommands._title),
    "/delete": SlashCommand("", "deletes the chat session", SlashCommands._delete),
    "/quit": SlashCommand("", "leaves", SlashCommands._quit),
}
