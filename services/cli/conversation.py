"""Questions and answers at a terminal, one after the other, each in the context of those before."""

from __future__ import annotations

from antiphon_client import AntiphonError, ChatOptions, Client
from antiphon_client.errors import Unreachable
from services.cli.advice import advice_on, message_of
from services.cli.dialogue import Dialogue, dialogue_of
from services.cli.line_editing import Lines
from services.cli.output import CommandFailed, note
from services.cli.slash_commands import COMMANDS, Left, SlashCommands, show_turns

REMINDER_TURNS = 2
_MAY_PASS = frozenset(
    {
        "PROVIDER_PROTOCOL",
        "PROVIDER_RATE_LIMITED",
        "PROVIDER_TIMEOUT",
        "PROVIDER_UNAVAILABLE",
    }
)


def converse(client: Client, options: ChatOptions, server: str, *, with_usage: bool = False) -> None:
    """Asks for a line, shows the answer, and so on until the person leaves."""
    dialogue = dialogue_of(client, options, with_usage=with_usage)
    commands = SlashCommands(client, dialogue)
    if options.get("session_id"):
        # A session that does not exist, or is somebody else's, is told before anything is typed.
        note(f"({dialogue.session().title or 'no title'}; the last turns:)")
        show_turns(dialogue, REMINDER_TURNS)
    lines = Lines(list(COMMANDS))
    note("/help lists the commands.")
    note("Ctrl-C cancels an answer, Ctrl-D leaves.")
    while True:
        try:
            line = lines.read()
            if line:
                _do(line, dialogue, commands)
        except (EOFError, Left) as left:
            if isinstance(left, EOFError):
                print()
            break
        except CommandFailed as failure:
            _tell(failure.message, failure.advice)
        except AntiphonError as error:
            _tell(message_of(error, server), _advice(error, server))
        except KeyboardInterrupt:
            print()
    if dialogue.options.get("session_id"):
        note(f"To go on: antiphon chat --session {dialogue.options['session_id']}")


def _do(line: str, dialogue: Dialogue, commands: SlashCommands) -> None:
    if line.startswith("/") and not line.startswith("//"):
        commands.run(line)
    else:
        dialogue.ask(line[1:] if line.startswith("//") else line)


def _advice(error: AntiphonError, server: str) -> str:
    if error.reason == "CONTEXT_TOO_LONG":
        return "/new begins a new conversation."
    if error.reason == "GENERATION_INTERRUPTED":
        return "What you see was kept; /retry asks again."
    advice = advice_on(error, server)
    if error.reason in _MAY_PASS or isinstance(error, Unreachable):
        advice = f"{advice}\n/retry asks again.".lstrip()
    return advice


def _tell(message: str, advice: str) -> None:
    note(f"antiphon: {message}")
    for line in advice.splitlines():
        note(f"  {line}")
