"""A chat session as a file: Markdown for people, JSON for programs."""

from __future__ import annotations

import enum
import json
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.chats import SessionId
from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import CommandFailed, as_dict, note, shown
from services.cli.whole_file import replacing, require_absent

if TYPE_CHECKING:
    from antiphon.chat.v1 import chat_pb2

Write = Callable[[str], object]
PAGE = 100
IN_MEMORY = 4 * 1024 * 1024
"""Bytes of messages that are put in order in memory; more of them wait in a file that has no name."""


class Format(enum.StrEnum):
    """How the chat session is written."""

    MARKDOWN = "markdown"
    JSON = "json"


def export_chat(
    session_id: SessionId,
    form: Annotated[
        Format, typer.Option("--format", help="Markdown for people, or JSON (proto JSON) for programs.")
    ] = Format.MARKDOWN,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to a file of your own.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Write a whole chat session, oldest message first.

    What was said is quoted, line by line. --json means --format json.

    \b
    Examples:
      antiphon chats export 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11 > sky.md
      antiphon chats export 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11 --format json -o sky.json
    """
    with calling(server, as_json) as client:
        if output is not None and not force:
            require_absent(output)
        session = client.get_session(session_id)
        # Nothing is written until everything was read: what is there is whole.
        with _Oldest() as messages:
            for message in client.list_messages(session_id, page_size=PAGE):
                messages.add(message)
            write_all = _write_json if as_json or form is Format.JSON else _write_markdown
            if output is None:
                _write_utf8()
                write_all(_print, session, messages)
                return
            with replacing(output, force=force) as file:
                write_all(lambda text: file.write(text.encode()), session, messages)
            note(f"{len(messages)} messages are in {output}")


class _Oldest:
    """Turns the order of messages that come newest first, in memory that does not grow with them."""

    def __init__(self) -> None:
        # Without a name, and its owner's alone: nobody else can read what was said.
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `__exit__`.
        self._ends = array("Q", [0])

    def add(self, message: chat_pb2.Message) -> None:
        """The next older one. Raises CommandFailed when there is no room for it."""
        try:
            self._file.write(message.SerializeToString())
        except OSError as error:
            where = tempfile.gettempdir()
            raise CommandFailed(f"messages can't be put in order in {where}: {error.strerror}") from None
        self._ends.append(self._file.tell())

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[chat_pb2.Message]:
        from antiphon.chat.v1 import chat_pb2

        for number in range(len(self) - 1, -1, -1):
            begin, end = self._ends[number], self._ends[number + 1]
            self._file.seek(begin)
            yield chat_pb2.Message.FromString(self._file.read(end - begin))

    def __enter__(self) -> _Oldest:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()


def _write_json(write: Write, session: chat_pb2.Session, messages: _Oldest) -> None:
    write(f'{{"session": {json.dumps(as_dict(session))}, "messages": [')
    between = "\n"
    for message in messages:
        write(f"{between}{json.dumps(as_dict(message))}")
        between = ",\n"
    write("\n]}\n")


def _write_markdown(write: Write, session: chat_pb2.Session, messages: _Oldest) -> None:
    from services.cli.markdown import message_in_markdown, session_in_markdown

    write(session_in_markdown(session, len(messages)))
    for number, message in enumerate(messages, start=1):
        write(message_in_markdown(message, number))


def _write_utf8() -> None:
    # A file is read elsewhere, too, where nobody knows in which locale it was written.
    if not sys.stdout.isatty() and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")


def _print(text: str) -> None:
    sys.stdout.write(shown(text, sys.stdout.isatty()))
