"""The file of settings: lines of `NAME=value`."""

from __future__ import annotations

import re
from pathlib import Path

from services.kernel.startup import StartupError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def read(path: Path) -> dict[str, str]:
    """The names and values of a file, none when there is no such file.

    A value may stand in double quotes (with \\n, \\t, \\" and \\\\) or in single ones (as it is); after an unquoted value ` #` begins a
    comment. Raises StartupError for a line that is no setting, or a name that stands there twice with different values.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{path} can't be read: {error.__class__.__name__}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        match = _LINE.fullmatch(bare)
        value = _value(match[2]) if match else None
        if match is None or value is None:
            raise StartupError(
                f"{path}, line {number}: this is no setting",
                "Write NAME=value, or begin the line with # to keep it as a note.",
            )
        if values.get(match[1], value) != value:
            raise StartupError(f"{path}, line {number}: {match[1]} was set to something else further up")
        values[match[1]] = value
    return values


def _value(text: str) -> str | None:
    if text[:1] in ('"', "'"):
        quoted = re.fullmatch(
            r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?' if text[0] == '"' else r"'([^']*)'\s*(?:#.*)?", text
        )
        if not quoted:
            return None
        if text[0] == "'":
            return quoted[1]
        return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), quoted[1])
    return re.split(r"(?:^|\s+)#", text, maxsplit=1)[0].strip()
