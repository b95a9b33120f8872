"""One private PostgreSQL: made when there is none, started, watched and stopped; every call blocks.

The order of the two locks makes it safe to be killed at any moment: with the owner's lock held no other suite
acts on the folder, and with the server's lock held no process of an earlier server is alive, so whatever lies
about is litter.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from services.infra.postgres.binaries import Binaries, find_binaries
from services.infra.postgres.cluster import (
    advice_from,
    check_version,
    make_cluster,
    remedy_for,
    sweep_half_made,
    url_of,
)
from services.infra.postgres.configuration import server_words
from services.infra.postgres.folders import (
    make_socket_folder,
    private_home,
    remove_socket_folder,
    sweep_socket_folders,
)
from services.infra.postgres.isolation import command_prefix
from services.infra.postgres.locks import OwnerLock
from services.infra.postgres.pidfile import read_pid_file
from services.infra.postgres.record import RunningRecord, read_record, remove_record
from services.infra.postgres.recovery import end_orphans_of, take_server_lock
from services.infra.postgres.supervised import Command, Supervised
from services.kernel.startup import StartupError

_log = logging.getLogger(__name__)

_FAST_THEN_IMMEDIATE = "SIGINT:10,SIGQUIT:5"
_STOP_SECONDS = 25.0  # the watchdog's own limits, and some
_COMMAND_SECONDS = 120.0
_JOIN_SECONDS = 10.0
_POLL_SECONDS = 0.01
_MAX_OLD_LOG_BYTES = 1024 * 1024


class EmbeddedServer:
    """The server in `data_dir/postgres`. Calls must not overlap, except `abandon`."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
        start_seconds: float = 120.0,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        """`on_lost` is called from a thread, with the reason, when the server ends without `stop`."""
        self._home = data_dir.absolute() / "postgres"
        self._settings = dict(settings or {})
        self._durable = durable
        self._start_seconds = start_seconds
        self._on_lost = on_lost
        self._abandoned = threading.Event()
        self._running: Supervised | None = None
        self._cleanup = ExitStack()

    @property
    def log_file(self) -> Path:
        return self._home / "postgres.log"

    @property
    def postmaster_pid(self) -> int | None:
        return self._running.pid if self._running else None

    @property
    def watchdog_pid(self) -> int | None:
        return self._running.watchdog_pid if self._running else None

    def start(self) -> str:
        """The URL of the running server's database.

        Raises StartupError when the folder is in use, unusable, or PostgreSQL does not start; nothing is left
        running then.
        """
        if self._running is not None:
            raise RuntimeError("this server has been started already")
        self._abandoned.clear()
        try:
            with ExitStack() as undo:
                url = self._start(undo)
                self._cleanup = undo.pop_all()
        except OSError as error:
            raise StartupError(
                f"The embedded PostgreSQL could not be started: {error}.", remedy_for(str(error))
            ) from error
        return url

    def stop(self) -> None:
        """Stops the server: a fast shutdown first, then an immediate one. Does nothing when it is not
        running.
        """
        self._running = None
        self._cleanup.close()

    def abandon(self) -> None:
        """Makes a `start` that is under way give up soon. For other threads."""
        self._abandoned.set()

    def url_of_running(self) -> str | None:
        """The URL at which another suite serves this folder, None when none does.

        One that is about to start is waited for, some seconds.
        """
        home = self._home.resolve()
        deadline = time.monotonic() + _JOIN_SECONDS
        while OwnerLock(home / "owner.lock").holder() is not None and time.monotonic() < deadline:
            found, record = read_pid_file(home / "cluster"), read_record(home)
            if found is not None and found.is_ready and record is not None:
                return record.url
            time.sleep(_POLL_SECONDS)
        return None

    def _start(self, undo: ExitStack) -> str:
        binaries = find_binaries()
        self._home = private_home(self._home)
        self._own(undo)
        prefix = command_prefix(binaries, self._home)
        lock = take_server_lock(self._home, binaries, self._go_on)
        try:
            self._sweep()
            cluster = self._home / "cluster"
            if not cluster.exists():
                run = self._runner(lock)
                make_cluster(self._home, binaries, prefix, self.log_file, run, durable=self._durable)
            cluster.chmod(0o700)
            url, running = self._launch(cluster, binaries, prefix, lock, undo)
        finally:
            os.close(lock)
        self._wait_until_ready(running, cluster, binaries)
        self._running = running
        threading.Thread(
            target=self._watch, args=(running, binaries), name="postgres-loss", daemon=True
        ).start()
        return url

    def _own(self, undo: ExitStack) -> None:
        owner = OwnerLock(self._home / "owner.lock")
        holder = owner.acquire()
        if holder is not None:
            who = f"process {holder}" if holder else "a process that cannot be seen from here"
            raise StartupError(
                f"The data directory {self._home.parent} is in use by another suite ({who}).",
                "Stop that one first, or choose another data directory with --data-dir.",
            )
        undo.callback(owner.release)

    def _go_on(self) -> None:
        if self._abandoned.is_set():
            raise StartupError("The start of PostgreSQL was given up.")

    def _sweep(self) -> None:
        sweep_half_made(self._home)
        sweep_socket_folders(self._home)
        if self.log_file.exists() and self.log_file.stat().st_size > _MAX_OLD_LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))

    def _runner(self, lock: int) -> Callable[[Command], bool]:
        def run(command: Command) -> bool:
            running = Supervised(command, os.dup(lock))
            try:
                deadline = time.monotonic() + _COMMAND_SECONDS
                while not running.ended.wait(_POLL_SECONDS):
                    self._go_on()
                    if time.monotonic() > deadline:
                        raise StartupError(
                            "PostgreSQL takes too long to make its folder.", advice_from(self.log_file)
                        )
            finally:
                self._end(running)
            return running.succeeded

        return run

    def _launch(
        self, cluster: Path, binaries: Binaries, prefix: list[str], lock: int, undo: ExitStack
    ) -> tuple[str, Supervised]:
        socket_folder = make_socket_folder(self._home)
        undo.callback(remove_socket_folder, socket_folder)
        url = url_of(cluster, socket_folder)
        RunningRecord(url, str(binaries.postgres), os.getpid()).write(self._home)
        undo.callback(remove_record, self._home)
        words = server_words(binaries.postgres, cluster, socket_folder, self._settings, durable=self._durable)
        command = Command(
            [*prefix, *words], self.log_file, _FAST_THEN_IMMEDIATE, folder_to_remove=socket_folder
        )
        running = Supervised(command, os.dup(lock))
        undo.callback(self._end_server, running, binaries)
        return url, running

    def _wait_until_ready(self, running: Supervised, cluster: Path, binaries: Binaries) -> None:
        deadline = time.monotonic() + self._start_seconds
        while True:
            found = read_pid_file(cluster)
            if found is not None and found.is_ready and found.pid == running.pid:
                return
            if running.ended.wait(_POLL_SECONDS):
                check_version(self._home, binaries)
                raise StartupError(
                    f"PostgreSQL did not start: {running.describe_end()}.", advice_from(self.log_file)
                )
            self._go_on()
            if time.monotonic() > deadline:
                raise StartupError("PostgreSQL takes too long to start.", advice_from(self.log_file))

    def _end(self, running: Supervised) -> None:
        running.let_go()
        if not running.ended.wait(_STOP_SECONDS):
            _log.warning(
                "PostgreSQL's watchdog (process %d) does not answer and is killed", running.watchdog_pid
            )
            running.kill_watchdog()
            running.ended.wait()

    def _end_server(self, running: Supervised, binaries: Binaries) -> None:
        self._end(running)
        if running.wait_status is None:
            self._end_unwatched(binaries)

    def _end_unwatched(self, binaries: Binaries) -> None:
        """The watchdog was killed: what it watched is looked up, proven to be ours and ended."""
        try:
            end_orphans_of(self._home, binaries)
        except StartupError as error:
            _log.error("PostgreSQL could not be ended: %s", error.message)

    def _watch(self, running: Supervised, binaries: Binaries) -> None:
        running.ended.wait()
        if self._running is not running:
            return  # it was stopped
        reason = f"PostgreSQL is gone: {running.describe_end()}"
        _log.error("%s; its log is %s", reason, self.log_file)
        if running.wait_status is None:
            self._end_unwatched(binaries)
        if self._on_lost is not None:
            self._on_lost(reason)
