"""What a conversation goes on from: the server's chat session, or, for anonymous callers, the messages themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from antiphon.chat.v1 import chat_pb2

from antiphon_client import ChatOptions, Client
from services.cli.answer import TextAnswer
from services.cli.asking import ask
from services.cli.messages import text_of
from services.cli.output import CommandFailed

PATIENCE = 3
"""The first Ctrl-C cancels the answer; only the third one, while the server does not react, ends the program."""
MOST_MESSAGES = 1000
MOST_BYTES = 1_000_000
"""What an anonymous conversation keeps of itself: a call takes 1024 messages."""


class Dialogue(Protocol):
    """A conversation, between two questions. `options` are what the next question is asked with."""

    options: ChatOptions

    def ask(self, question: str) -> None:
        """Shows the answer, and remembers both. Raises AntiphonError."""

    def step_back(self) -> str:
        """Leaves the last question and its answer behind; the question. Raises CommandFailed when there is none."""

    def begin_anew(self) -> None:
        """Leaves everything behind but model and instructions."""

    def messages(self, turns: int) -> Sequence[chat_pb2.Message]:
        """Those of the newest turns, oldest first."""

    def set_model(self, name: str) -> None:
        """Says who answers from here on."""

    def system(self) -> str:
        """The instructions; empty when there are none."""

    def set_system(self, prompt: str) -> None:
        """Replaces the instructions; an empty text removes them."""

    def session(self) -> chat_pb2.Session:
        """The chat session. Raises CommandFailed when there is none."""

    def fork(self, turns_back: int) -> chat_pb2.Session:
        """Goes on in a copy of the chat session that ends this many turns earlier. Raises CommandFailed."""

    def rename(self, title: str) -> None:
        """Gives the chat session a title. Raises CommandFailed."""

    def delete(self) -> None:
        """Deletes the chat session, and begins anew. Raises CommandFailed."""


def dialogue_of(client: Client, options: ChatOptions, *, with_usage: bool) -> Dialogue:
    """What fits the caller: a chat session belongs to an account."""
    if client.access_token():
        return KeptDialogue(client, options, with_usage=with_usage)
    return LooseDialogue(client, options, with_usage=with_usage)


class KeptDialogue:
    """Kept by the server, where it can be gone on with from anywhere."""

    def __init__(self, client: Client, options: ChatOptions, *, with_usage: bool) -> None:
        self.options = options
        self._client = client
        self._with_usage = with_usage
        self._unsent = ""

    @property
    def _session_id(self) -> str:
        return self.options.get("session_id", "")

    def ask(self, question: str) -> None:
        """Shows the answer; the server remembers."""
        answer = Remembering(self._with_usage)
        self._unsent = question
        try:
            ask(self._client, question, self.options, answer, patience=PATIENCE)
        finally:
            if answer.started:
                self._unsent = ""
                self.options["session_id"] = answer.session_id or self._session_id

    def step_back(self) -> str:
        """Goes on in a fork that ends before the last question, so that the first answer is not lost."""
        if self._unsent:
            return self._unsent
        before: chat_pb2.Message | None = None
        question: chat_pb2.Message | None = None
        for message in self._newest_first() if self._session_id else ():
            if question is not None:
                before = message
                break
            if message.role == chat_pb2.MESSAGE_ROLE_USER:
                question = message
        if question is None:
            raise CommandFailed("there is no question yet to ask again")
        if before is not None:
            session = self._client.fork_session(self._session_id, before.message_id)
        else:
            first = self.session()
            session = self._client.create_session(
                project=first.project, model=first.model, system_prompt=first.system_prompt
            )
        self.options["session_id"] = session.session_id
        return text_of(question)

    def begin_anew(self) -> None:
        """The next question opens another chat session."""
        self.options["session_id"] = ""
        self._unsent = ""

    def messages(self, turns: int) -> Sequence[chat_pb2.Message]:
        """Those of the newest turns, oldest first."""
        return newest_turns(self._newest_first(), turns) if self._session_id else []

    def set_model(self, name: str) -> None:
        """For the next questions, and for whoever goes on with the chat session."""
        self.options["model"] = name
        if self._session_id:
            self._client.update_session(self._session_id, model=name)

    def system(self) -> str:
        """Those of the next question."""
        own = self.options.get("system_prompt", "")
        return own or (self.session().system_prompt if self._session_id else "")

    def set_system(self, prompt: str) -> None:
        """In the chat session where there is one, so that no option of an earlier call outweighs it."""
        if not self._session_id:
            self.options["system_prompt"] = prompt
            return
        self._client.update_session(self._session_id, system_prompt=prompt)
        self.options["system_prompt"] = ""

    def session(self) -> chat_pb2.Session:
        """As the server has it now."""
        if not self._session_id:
            raise CommandFailed("there is no chat session yet: the first question opens it")
        return self._client.get_session(self._session_id)

    def fork(self, turns_back: int) -> chat_pb2.Session:
        """Goes on in the fork."""
        session_id = self.session().session_id
        turns = 0
        for message in self._newest_first():
            if turns == turns_back:
                fork = self._client.fork_session(session_id, message.message_id)
                self.options["session_id"] = fork.session_id
                self._unsent = ""
                return fork
            if message.role == chat_pb2.MESSAGE_ROLE_USER:
                turns += 1
        if not turns:
            raise CommandFailed("there are no messages yet to copy")
        raise CommandFailed(
            f"nothing is left {turns_back} turns back: the conversation has {turns}",
            "/new begins an empty one.",
        )

    def rename(self, title: str) -> None:
        """Under which `antiphon chats list` shows it."""
        self._client.update_session(self.session().session_id, title=title)

    def delete(self) -> None:
        """Deletes it for good."""
        self._client.delete_session(self.session().session_id)
        self.begin_anew()

    def _newest_first(self) -> Iterable[chat_pb2.Message]:
        return self._client.list_messages(self._session_id, page_size=20)


class LooseDialogue:
    """Kept here alone, as long as the program runs; every question carries the conversation so far."""

    def __init__(self, client: Client, options: ChatOptions, *, with_usage: bool) -> None:
        self.options = options
        self._client = client
        self._with_usage = with_usage
        self._said: list[chat_pb2.Message] = []
        self._unanswered = ""

    def ask(self, question: str) -> None:
        """Shows the answer, and remembers both, also when the answer breaks off."""
        asked = _within_bounds([*self._said, _said(chat_pb2.MESSAGE_ROLE_USER, question)])
        answer = Remembering(self._with_usage)
        self._unanswered = question
        try:
            ask(self._client, asked, self.options, answer, patience=PATIENCE)
        finally:
            if answer.text:
                self._unanswered = ""
                self._said = [*asked, _said(chat_pb2.MESSAGE_ROLE_ASSISTANT, answer.text)]

    def step_back(self) -> str:
        """Forgets the last question and its answer."""
        if self._unanswered:
            return self._unanswered
        if not self._said:
            raise CommandFailed("there is no question yet to ask again")
        *self._said, question, _ = self._said
        return text_of(question)

    def begin_anew(self) -> None:
        """Forgets what was said."""
        self._said = []
        self._unanswered = ""

    def messages(self, turns: int) -> Sequence[chat_pb2.Message]:
        """Those of the newest turns, oldest first."""
        return newest_turns(reversed(self._said), turns)

    def set_model(self, name: str) -> None:
        """For the next questions."""
        self.options["model"] = name

    def system(self) -> str:
        """Those of the next question."""
        return self.options.get("system_prompt", "")

    def set_system(self, prompt: str) -> None:
        """For the next questions."""
        self.options["system_prompt"] = prompt

    def session(self) -> chat_pb2.Session:
        """There is none."""
        raise _not_logged_in()

    def fork(self, turns_back: int) -> chat_pb2.Session:
        """There is nothing to fork."""
        raise _not_logged_in()

    def rename(self, title: str) -> None:
        """There is nothing to name."""
        raise _not_logged_in()

    def delete(self) -> None:
        """There is nothing to delete."""
        raise _not_logged_in()


class Remembering(TextAnswer):
    """Shows an answer on the terminal and remembers what the next question needs."""

    def __init__(self, with_usage: bool) -> None:
        super().__init__(on_terminal=True, with_usage=with_usage)
        self.text = ""
        self.session_id = ""
        self.started = False

    def show(self, event: chat_pb2.ChatEvent) -> None:
        """Writes what the event adds."""
        self.started = True
        self.text += event.text_delta.text
        self.session_id = event.started.session_id or self.session_id
        super().show(event)


def newest_turns(newest_first: Iterable[chat_pb2.Message], turns: int) -> list[chat_pb2.Message]:
    """The messages of the newest turns, oldest first; a turn begins with a question."""
    found: list[chat_pb2.Message] = []
    for message in newest_first:
        found.append(message)
        turns -= message.role == chat_pb2.MESSAGE_ROLE_USER
        if turns <= 0:
            break
    return found[::-1]


def _within_bounds(messages: list[chat_pb2.Message]) -> list[chat_pb2.Message]:
    # Whole turns are left out, oldest first; the question stays, whatever it weighs.
    size = sum(message.ByteSize() for message in messages)
    begin = 0
    while len(messages) - begin > 2 and (len(messages) - begin > MOST_MESSAGES or size > MOST_BYTES):
        size -= messages[begin].ByteSize() + messages[begin + 1].ByteSize()
        begin += 2
    return messages[begin:]


def _said(role: chat_pb2.MessageRole, text: str) -> chat_pb2.Message:
    return chat_pb2.Message(role=role, parts=[chat_pb2.Part(text=text)])


def _not_logged_in() -> CommandFailed:
    return CommandFailed(
        "there is no chat session: without a login nothing is kept",
        "Leave, then log in first: antiphon login EMAIL",
    )
