"""Questions and answers at a terminal, one after the other, each in the context of those before."""

from __future__ import annotations

import contextlib

from antiphon.chat.v1 import chat_pb2

from antiphon_client import AntiphonError, ChatOptions, Client
from services.cli.answer import TextAnswer
from services.cli.asking import ask
from services.cli.output import CommandFailed, describe, note
from services.cli.prompts import typed


def converse(client: Client, options: ChatOptions, server: str) -> None:
    """Asks for a line, shows the answer, and so on until the input ends."""
    # Line editing for input(), where the platform has it.
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401
    conversation = _Conversation(client, options)
    note("Ctrl-C cancels an answer, Ctrl-D ends the conversation.")
    while True:
        try:
            line = typed(lambda: input("> ")).strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        except CommandFailed as failure:
            note(f"antiphon: {failure.message}")
            continue
        if not line:
            continue
        try:
            conversation.ask(line)
        except AntiphonError as error:
            note(f"antiphon: {describe(error, server)}")
        except KeyboardInterrupt:
            print()


class _Conversation:
    """Keeps the context: the server's chat session, or, for anonymous callers, the messages themselves."""

    def __init__(self, client: Client, options: ChatOptions) -> None:
        self._client = client
        self._options = options
        self._anonymous = not client.access_token()
        self._messages: list[chat_pb2.Message] = []

    def ask(self, line: str) -> None:
        """Shows the answer to `line`, and remembers both."""
        answer = _Remembering()
        if not self._anonymous:
            ask(self._client, line, self._options, answer)
            self._options["session_id"] = answer.session_id or self._options.get("session_id", "")
            return
        asked = [*self._messages, _said(chat_pb2.MESSAGE_ROLE_USER, line)]
        ask(self._client, asked, self._options, answer)
        if answer.text:
            self._messages = [*asked, _said(chat_pb2.MESSAGE_ROLE_ASSISTANT, answer.text)]


def _said(role: chat_pb2.MessageRole, text: str) -> chat_pb2.Message:
    return chat_pb2.Message(role=role, parts=[chat_pb2.Part(text=text)])


class _Remembering(TextAnswer):
    """Shows an answer on the terminal and remembers what the next question needs."""

    def __init__(self) -> None:
        super().__init__(on_terminal=True)
        self.text = ""
        self.session_id = ""

    def show(self, event: chat_pb2.ChatEvent) -> None:
        """Writes what the event adds."""
        self.text += event.text_delta.text
        self.session_id = event.started.session_id or self.session_id
        super().show(event)
