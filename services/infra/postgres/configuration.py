"""The settings of the embedded server, given on its command line so that the code that runs is the code
that decides.
"""

from collections.abc import Mapping
from pathlib import Path

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "jit": "off",
    "timezone": "UTC",
    # One server without replicas needs neither archive nor senders.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "512MB",
    # Parallel workers' memory lies in the data directory, and not in a place that all users share or a
    # container makes tiny.
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    # The log names what failed, and quotes neither statements nor values: they hold e-mail addresses and
    # conversations.
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "logging_collector": "off",
}

# For data that may be lost with the machine, such as a test's.
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def server_words(
    postgres: Path, cluster: Path, socket_folder: Path, settings: Mapping[str, str], *, durable: bool
) -> list[str | Path]:
    """The command that runs the server; `settings` override the ones above."""
    place = '"' + str(socket_folder).replace('"', '""') + '"'
    chosen = {
        **_SETTINGS,
        **(_DURABLE if durable else _FORGETFUL),
        **settings,
        "unix_socket_directories": place,
    }
    options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    return [postgres, "-D", cluster, *options]
