"""The `antiphon` command: a file per group. What talks to a server needs the client alone; `serve`, `migrate` and `doctor` need the
extra `server`, and are imported when they are called.
"""


def main() -> None:
    """The console script's entry."""
    from services.cli.program import run

    run()
