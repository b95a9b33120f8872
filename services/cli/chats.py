"""Chat sessions: list them, show one."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import as_dict, flat, local_time, note, print_json, print_table, shown

if TYPE_CHECKING:
    from antiphon.chat.v1 import chat_pb2

Limit = Annotated[int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most, the newest.")]


def list_chats(
    limit: Limit = 20,
    project: Annotated[
        str, typer.Option(metavar="PROJECT", help="Those of one project.", show_default=False)
    ] = "",
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones, too.")] = False,
    user: Annotated[
        str, typer.Option(metavar="USER_ID", help="Another person's (administrators).", show_default=False)
    ] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List chat sessions, newest first.

    \b
    Example:
      antiphon chats list --limit 5
    """
    with calling(server, as_json) as client:
        found = client.list_sessions(
            project=project, include_archived=archived, user_id=user, page_size=min(limit, 100)
        )
        sessions = list(itertools.islice(found, limit))
        if as_json:
            print_json({"sessions": [as_dict(session) for session in sessions]})
            return
        rows = [
            (session.session_id, local_time(session.update_time), session.model, session.title)
            for session in sessions
        ]
        print_table(("SESSION", "CHANGED", "MODEL", "TITLE"), rows, "there are no chat sessions yet")


def show_chat(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", help="As `antiphon chats list` prints it.")],
    limit: Limit = 200,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Show a chat session's messages, oldest first.

    \b
    Example:
      antiphon chats show 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
    """
    with calling(server, as_json) as client:
        session = client.get_session(session_id)
        newest_first = client.list_messages(session_id, page_size=min(limit + 1, 100))
        newest = list(itertools.islice(newest_first, limit + 1))
        messages = newest[:limit][::-1]
        if as_json:
            print_json({"session": as_dict(session), "messages": [as_dict(message) for message in messages]})
            return
        from antiphon.chat.v1 import chat_pb2

        on_terminal = sys.stdout.isatty()
        if session.title:
            print(f"# {flat(session.title)}\n")
        if len(newest) > limit:
            note(f"(the newest {limit} messages; --limit shows more)")
        for message in messages:
            role = chat_pb2.MessageRole.Name(message.role).removeprefix("MESSAGE_ROLE_").lower()
            model = f" ({flat(message.model)})" if message.model else ""
            print(f"{role}{model} · {local_time(message.create_time)}")
            for line in _lines_of(message):
                print(f"  {shown(line, on_terminal)}" if line else "")
            print()
        if not messages:
            note("there are no messages yet")


def _lines_of(message: chat_pb2.Message) -> list[str]:
    text = "".join(part.text if part.HasField("text") else "[image]" for part in message.parts)
    lines = text.splitlines()
    lines += [f"[tool call: {call.name}({call.arguments_json})]" for call in message.tool_calls]
    return lines
