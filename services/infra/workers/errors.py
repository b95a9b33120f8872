"""How a job of a worker fails.

WorkerFailure ── PoolBusy, PoolClosed, NoWorker, JobTimedOut, WorkerDied, JobRefused, JobFailed
"""

from __future__ import annotations


class WorkerFailure(Exception):
    """A job was not done."""


class PoolBusy(WorkerFailure):
    """As many jobs wait as the queue takes."""


class PoolClosed(WorkerFailure):
    """The pool takes no jobs any more, and has ended those that ran."""


class NoWorker(WorkerFailure):
    """No worker can be started, or none gets ready; the job was not begun."""


class JobTimedOut(WorkerFailure):
    """The worker took too long, and was killed."""


class WorkerDied(WorkerFailure):
    """The worker ended, or broke the protocol, before the job was done."""


class JobRefused(WorkerFailure):
    """The worker's program says that this can't be done; `reason` is a word of its own. Programs raise it themselves."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class JobFailed(WorkerFailure):
    """The worker's program has a defect; its traceback is in the log."""
