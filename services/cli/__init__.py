"""The `antiphon` command: a file per group. What talks to a server needs the client alone; `serve`, `migrate`, `health` and
`doctor` need the extra `server`, and are imported when they are called.
"""

import sys


def main() -> None:
    """The console script's entry."""
    try:
        from services.cli.program import run

        run()
    except KeyboardInterrupt:
        # Ctrl-C while the command is still being imported; later on it is told by the command itself.
        sys.exit(130)
