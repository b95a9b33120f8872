"""Chat sessions: list them, show one, find words, fork, rename, archive, delete."""

from __future__ import annotations

import itertools
import sys
from typing import Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import (
    CommandFailed,
    as_dict,
    flat,
    local_time,
    note,
    print_json,
    print_table,
    shown,
)
from services.cli.prompts import confirm
from services.cli.texts import check_session_id

SessionId = Annotated[
    str,
    typer.Argument(metavar="SESSION", help="As `antiphon chats list` prints it.", callback=check_session_id),
]
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
    session_id: SessionId,
    limit: Limit = 200,
    ids: Annotated[
        bool, typer.Option("--ids", help="The id of each message, for `chats fork --at`.")
    ] = False,
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
        from services.cli.messages import ending_of, lines_of, role_of

        on_terminal = sys.stdout.isatty()
        if session.title:
            print(f"# {flat(session.title)}\n")
        if len(newest) > limit:
            note(f"(the newest {limit} messages; --limit shows more)")
        for message in messages:
            model = f" ({flat(message.model)})" if message.model else ""
            print(f"{role_of(message)}{model} · {local_time(message.create_time)}")
            if ids:
                print(f"[{message.message_id}]")
            for line in lines_of(message):
                print(f"  {shown(line, on_terminal)}" if line else "")
            if ending := ending_of(message):
                print(f"  ({ending})")
            print()
        if not messages:
            note("there are no messages yet")


def search_chats(
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="A message has to have all of them.")],
    session: Annotated[
        str,
        typer.Option(
            metavar="SESSION", help="Of one chat session.", show_default=False, callback=check_session_id
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most.")] = 20,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Find messages by their words, best first.

    \b
    Example:
      antiphon chats search blue sky
    """
    query = " ".join(words)
    with calling(server, as_json) as client:
        if not query.strip():
            raise CommandFailed("there is nothing to look for", "antiphon chats search blue sky", status=2)
        found = client.search_messages(query, session_id=session, page_size=min(limit, 100))
        hits = list(itertools.islice(found, limit))
        if as_json:
            print_json({"hits": [as_dict(hit) for hit in hits]})
            return
        from services.cli.messages import role_of

        rows = [
            (
                hit.message.session_id,
                hit.message.message_id,
                local_time(hit.message.create_time),
                role_of(hit.message),
                hit.snippet,
            )
            for hit in hits
        ]
        print_table(("SESSION", "MESSAGE", "TIME", "WHO", "TEXT"), rows, "nothing was found")


def fork_chat(
    session_id: SessionId,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="MESSAGE",
            help="The last message to copy, as `chats show --ids` prints it; the newest by default.",
            show_default=False,
        ),
    ] = "",
    title: Annotated[str, typer.Option(metavar="TEXT", help="A title of its own.", show_default=False)] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Open a chat session with a copy of another one's messages, and print its id.

    \b
    Example:
      antiphon chat --session $(antiphon chats fork 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11)
    """
    with calling(server, as_json) as client:
        if not at:
            newest = next(client.list_messages(session_id, page_size=1), None)
            if newest is None:
                raise CommandFailed(f"the chat session {session_id} has no messages to copy")
            at = newest.message_id
        fork = client.fork_session(session_id, at, title=title)
        if as_json:
            print_json({"session": as_dict(fork)})
            return
        print(fork.session_id, flush=True)
        if sys.stdout.isatty():
            note(f"To go on: antiphon chat --session {fork.session_id}")


def rename_chat(
    session_id: SessionId,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="The new title.")],
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Give a chat session another title.

    \b
    Example:
      antiphon chats rename 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11 "The colour of the sky"
    """
    with calling(server, as_json) as client:
        session = client.update_session(session_id, title=title)
        if as_json:
            print_json({"session": as_dict(session)})
            return
        note(f'{session.session_id} is now called "{flat(session.title)}"')


def archive_chat(
    session_id: SessionId,
    undo: Annotated[bool, typer.Option("--undo", help="Take it out of the archive.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Put a chat session away: `chats list` leaves it out, unless --archived asks for it.

    \b
    Example:
      antiphon chats archive 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
    """
    with calling(server, as_json) as client:
        session = client.update_session(session_id, archived=not undo)
        if as_json:
            print_json({"session": as_dict(session)})
            return
        note(f"{session.session_id} is {'archived' if session.archived else 'in the list again'}")


def delete_chat(
    session_id: SessionId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Delete a chat session and its messages. What was used stays on the meter.

    \b
    Example:
      antiphon chats delete 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
    """
    with calling(server, as_json) as client:
        session = client.get_session(session_id)
        name = flat(session.title) or session_id
        confirm(f'Delete "{name}" and its messages for good?', yes=yes)
        client.delete_session(session_id)
        if as_json:
            print_json({"sessionId": session_id})
            return
        note(f'"{name}" is deleted')
