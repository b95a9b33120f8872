"""Secrets in files, as container engines hand them over: `NAME_FILE` names a file with what `NAME` would say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from services.kernel.startup import StartupError

SUFFIX = "_FILE"
_LARGEST = 64 * 1024


def with_secret_files(
    origin: str, values: Mapping[str, str], secrets: Collection[str], cwd: Path
) -> dict[str, str]:
    """The values, and each of these secrets whose file they name, without the white space around it. The same values again change nothing.

    Raises StartupError for a file that can't be read or is empty, and for a secret that is set as well.
    """
    found = dict(values)
    for name in sorted(secrets):
        path = values.get(name + SUFFIX, "").strip()
        if not path:
            continue
        if values.get(name, "").strip():
            raise StartupError(f"{name} and {name}{SUFFIX} (in {origin}) are both set", "Keep one of them.")
        found[name] = _read(f"{name}{SUFFIX} (in {origin})", cwd / Path(path).expanduser())
    return found


def _read(setting: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1).decode().strip()
    except OSError as error:
        raise StartupError(
            f"{setting}: {path} can't be read: {error.strerror}",
            "Correct the path, or let the user that runs the suite read the file.",
        ) from None
    except UnicodeDecodeError:
        raise StartupError(f"{setting}: {path} is no text") from None
    if not text:
        raise StartupError(f"{setting}: {path} is empty", "Write the secret into it.")
    if len(text) > _LARGEST:
        raise StartupError(f"{setting}: {path} is too large for a secret")
    return text
