"""A chat session as Markdown (CommonMark).

What was said is quoted, line by line, so that it can neither open nor close anything outside of its quote: no heading, no fence, no
comment, no front matter. What follows the `> ` of a line is the line as it was.
"""

from __future__ import annotations

import re

from antiphon.chat.v1 import chat_pb2

from services.cli.messages import ending_of, role_of, text_of
from services.cli.output import exact_time, flat

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&!])")
_BACKTICKS = re.compile(r"`+")


def session_in_markdown(session: chat_pb2.Session, messages: int) -> str:
    """The title, and what is known of the session."""
    known = [
        ("Chat session", _code(session.session_id)),
        ("Project", _escaped(session.project)),
        ("Model", _code(session.model)),
        ("Begun", exact_time(session.create_time)),
        ("Messages", str(messages)),
        ("Fork of", _code(session.forked_from_session_id)),
    ]
    lines = [f"# {_escaped(session.title) or 'Chat'}", ""]
    lines += [f"- {name}: {value}" for name, value in known if value]
    if session.system_prompt:
        lines += ["", "## Instructions", "", *_quoted(session.system_prompt)]
    return "\n".join(lines) + "\n"


def message_in_markdown(message: chat_pb2.Message, number: int) -> str:
    """A turn under a heading of its own."""
    about = [f"{number}. {role_of(message).capitalize()}"]
    about += [each for each in (_code(message.model), exact_time(message.create_time)) if each]
    lines = ["", f"## {' · '.join(about)}"]
    if message.tool_call_id:
        lines += ["", f"Result of the tool call {_code(message.tool_call_id)}:"]
    text = text_of(message)
    if text:
        lines += ["", *_quoted(text)]
    for call in message.tool_calls:
        lines += ["", f"Tool call {_code(call.name)} ({_code(call.tool_call_id)}):", ""]
        lines += _fenced(call.arguments_json)
    if ending := ending_of(message):
        lines += ["", f"*({ending})*"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> list[str]:
    return [f"> {line}" if line else ">" for line in _LINE_ENDS.split(text)]


def _fenced(text: str) -> list[str]:
    # Longer than whatever the text has, so that nothing in it ends the block.
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    return [f"{fence}json", *_LINE_ENDS.split(text), fence]


def _code(text: str) -> str:
    text = flat(text)
    if not text:
        return ""
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    blank = " " if "`" in text else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", flat(text))
