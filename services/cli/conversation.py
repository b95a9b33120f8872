"""Questions and answers at a terminal, one after the other, each in the context of those before."""

from __future__ import annotations

from antiphon_client import AntiphonError, ChatOptions, Client
from antiphon_client.errors import NotFound, Unauthenticated, Unreachable
from services.cli.advice import advice_on, message_of
from services.cli.dialogue import dialogue_of
from services.cli.line_editing import Lines
from services.cli.output import CommandFailed, note
from services.cli.slash_commands import COMMANDS, RETRY, Left, SlashCommands, show_turns

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
    Conversation(client, options, server, with_usage=with_usage).run()


class Conversation:
    """What is typed, and what comes of it. Knows whether it can be gone on with."""

    def __init__(self, client: Client, options: ChatOptions, server: str, *, with_usage: bool) -> None:
        self._dialogue = dialogue_of(client, options, with_usage=with_usage)
        self._commands = SlashCommands(client, self._dialogue)
        self._server = server
        self._gone = ""
        self._logged_out = False

    def run(self) -> None:
        """Returns when the person leaves."""
        if self._session_id:
            # A session that does not exist, or is somebody else's, is told before anything is typed.
            note(f"({self._dialogue.session().title or 'no title'}; the last turns:)")
            show_turns(self._dialogue, REMINDER_TURNS)
        lines = Lines(list(COMMANDS))
        note("/help lists the commands.")
        note("Ctrl-C cancels an answer, Ctrl-D leaves.")
        while True:
            line = ""
            try:
                line = lines.read()
                if line:
                    self._do(line)
                    self._logged_out = False
            except (EOFError, Left) as left:
                if isinstance(left, EOFError):
                    print()
                break
            except CommandFailed as failure:
                _tell(failure.message, failure.advice)
            except AntiphonError as error:
                self._logged_out = isinstance(error, Unauthenticated)
                _tell(message_of(error, self._server), self._advice(error, asked=_asks(line)))
            except KeyboardInterrupt:
                print()
        self._say_how_to_go_on()

    @property
    def _session_id(self) -> str:
        return self._dialogue.options.get("session_id", "")

    def _do(self, line: str) -> None:
        if _is_command(line):
            self._commands.run(line)
        else:
            self._dialogue.ask(line[1:] if line.startswith("//") else line)

    def _say_how_to_go_on(self) -> None:
        if self._session_id and self._session_id != self._gone:
            first = "log in, then: " if self._logged_out else ""
            note(f"To go on: {first}antiphon chat --session {self._session_id}")

    def _advice(self, error: AntiphonError, *, asked: bool) -> str:
        if error.reason == "CONTEXT_TOO_LONG":
            return "/new begins a new conversation."
        if error.reason == "GENERATION_INTERRUPTED":
            return "What you see was kept; /retry asks again."
        if error.reason == "CREDENTIAL_MISSING":
            return "This conversation goes on when you have logged in, here or in another window: antiphon login EMAIL"
        if (
            isinstance(error, NotFound)
            and error.resource is not None
            and error.resource.type == "chat.session"
        ):
            self._gone = self._session_id
            return "It was deleted, or it belongs to another account. /new begins a new conversation."
        advice = advice_on(error, self._server)
        if asked and (error.reason in _MAY_PASS or isinstance(error, Unreachable)):
            advice = f"{advice}\n/retry asks again.".lstrip()
        return advice


def _is_command(line: str) -> bool:
    return line.startswith("/") and not line.startswith("//")


def _asks(line: str) -> bool:
    return not _is_command(line) or line.split()[0].lower() == RETRY


def _tell(message: str, advice: str) -> None:
    note(f"antiphon: {message}")
    for line in advice.splitlines():
        note(f"  {line}")
