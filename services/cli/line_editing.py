"""What a person types at the prompt of a conversation: with line editing and a history where the platform has them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from services.cli.credentials import credentials_file
from services.cli.output import note
from services.cli.prompts import typed

PROMPT, GOES_ON = "> ", "... "
BLOCK = '"""'
KEPT_LINES = 1000
LONGEST_KEPT = 10_000
"""Characters of the longest input that the history keeps."""


def history_file() -> Path:
    """Where the history is kept: beside the login sessions."""
    return credentials_file().with_name("chat_history")


class Lines:
    """Reads one input after the other. `words` are what Tab completes at the beginning of a line."""

    def __init__(self, words: Sequence[str] = (), ask: Callable[[str], str] | None = None) -> None:
        self._ask = ask or input
        self._editing = _line_editing()
        self._history = History(history_file())
        self._goes_on = False
        if self._editing is not None:
            _set_up(self._editing, words)
            for text in self._history.load():
                self._editing.add_history(text)

    def read(self) -> str:
        """The next input, which may have several lines; empty when there is nothing to do.

        Ctrl-C clears what was typed. Raises EOFError when the person leaves, by Ctrl-D or by Ctrl-C once more with nothing typed, and
        CommandFailed when it is no text.
        """
        cleared = False
        while True:
            try:
                text = self._whole()
            except KeyboardInterrupt:
                print()
                if cleared and not self._has_text():
                    raise EOFError from None
                cleared = True
                note("(Ctrl-C again, or Ctrl-D, leaves)")
                continue
            # As in a shell, what begins with a blank is not kept.
            if text.strip() and not text.startswith(" "):
                self._keep(text)
            return text.strip()

    def _has_text(self) -> bool:
        """Whether Ctrl-C has cleared anything. Without line editing nobody knows; then nothing was."""
        return self._goes_on or (self._editing is not None and bool(self._editing.get_line_buffer()))

    def _whole(self) -> str:
        self._goes_on = False
        line = typed(lambda: self._ask(PROMPT))
        if line.lstrip().startswith(BLOCK):
            self._goes_on = True
            return self._block(line.lstrip().removeprefix(BLOCK))
        lines = []
        while line.endswith("\\"):
            self._goes_on = True
            lines.append(line[:-1])
            try:
                line = typed(lambda: self._ask(GOES_ON))
            except EOFError:
                print()
                return ""
        return "\n".join([*lines, line])

    def _block(self, first: str) -> str:
        lines = [first]
        while not lines[-1].rstrip().endswith(BLOCK):
            try:
                lines.append(typed(lambda: self._ask(GOES_ON)))
            except EOFError:
                print()
                return ""
        lines[-1] = lines[-1].rstrip().removesuffix(BLOCK)
        return "\n".join(lines).strip("\n")

    def _keep(self, text: str) -> None:
        if self._editing is not None and len(text) <= LONGEST_KEPT:
            self._editing.add_history(text)
            self._history.add(text)


class History:
    """The newest inputs of this person's conversations, a JSON string per line, readable by them alone.

    Conversations at once add to the same file, each line by one write. A file that can't be read or written is gone without: a history is
    a comfort.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[str]:
        """What was typed before, oldest first. A file that has grown to twice the bound is cut to it."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        if len(lines) > 2 * KEPT_LINES:
            self._replace(lines[-KEPT_LINES:])
        kept = []
        for line in lines[-KEPT_LINES:]:
            with contextlib.suppress(ValueError):
                text = json.loads(line)
                if isinstance(text, str):
                    kept.append(text)
        return kept

    def add(self, text: str) -> None:
        """Keeps an input."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, f"{json.dumps(text)}\n".encode())
            finally:
                os.close(descriptor)

    def _replace(self, lines: Sequence[str]) -> None:
        with contextlib.suppress(OSError):
            descriptor, name = tempfile.mkstemp(prefix=".chat_history-", dir=self._path.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
            Path(name).replace(self._path)


def _line_editing() -> ModuleType | None:
    try:
        import readline
    except ImportError:
        return None
    return readline


def _set_up(editing: ModuleType, words: Sequence[str]) -> None:
    def complete(beginning: str, number: int) -> str | None:
        found = [f"{word} " for word in words if beginning and word.startswith(beginning)]
        return found[number] if number < len(found) else None

    editing.set_auto_history(False)
    editing.set_history_length(KEPT_LINES)
    editing.set_completer(complete)
    editing.set_completer_delims(" \n")
    if "libedit" in (editing.__doc__ or ""):
        editing.parse_and_bind("bind ^I rl_complete")
    else:
        editing.parse_and_bind("tab: complete")
        # What is pasted is one input, however many lines it has.
        editing.parse_and_bind("set enable-bracketed-paste on")
