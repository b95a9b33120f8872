"""How calls that make something fail, whatever they make.

ResourceExhausted ── TooManyGenerations
Unavailable ──────── IndexLost
Aborted ──────────── GenerationInterrupted
Exception ────────── Superseded
"""

from __future__ import annotations

from services.kernel import errors


class TooManyGenerations(errors.ResourceExhausted):
    """As many calls are at work as the process takes."""

    def __init__(self) -> None:
        super().__init__(
            "too many calls are at work at once; try again shortly",
            metadata={"queue": "generations"},
            retry_after=2.0,
        )


class IndexLost(errors.Unavailable):
    """Whether what was made is kept is not known: the database has not answered."""


class GenerationInterrupted(errors.Aborted):
    """The server that was at work stopped or died."""

    reason = "GENERATION_INTERRUPTED"

    def __init__(self, generation_id: str) -> None:
        super().__init__(
            "the server stopped while it was at work on this, and nothing was kept; call again",
            metadata={"generation_id": generation_id},
        )


class Superseded(Exception):
    """The generation does not run any more: whoever took this process for dead has ended it."""
