"""docker-compose.yml played without containers: each service of ours is a process with the environment that its container would have.

The names of hosts become the loopback interface, ports become free ones, and folders and secrets lie below the test's folder. What
others make is played by what the tests have of it: PostgreSQL by the embedded server's programs, MinIO by itself, MongoDB by the
server that speaks its protocol and asks nobody for a password.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from services.infra.postgres.binaries import find_binaries
from services.infra.postgres.folders import private_home
from services.infra.postgres.isolation import command_prefix
from tests.compose_file import IMAGE_SECRETS, ROOT, ComposeFile, Container, Image
from tests.peers.minio_server import minio_server
from tests.peers.mongo_server import mongo_server
from tests.peers.programs import Program, clean_environment, ending, free_port

_PATIENCE = 120.0
# A host of a compose network; a container's own interfaces; the host's loopback interface.
_AUTHORITY = re.compile(
    r"(?<=[@/])(?P<host>[a-z-]+):(?P<at>\d+)|^(?:0\.0\.0\.0|127\.0\.0\.1):(?P<own>\d+)$|(?<=//)127\.0\.0\.1:(?P<outside>\d+)"
)


class Play:
    """A profile of the compose file in a folder. `start` brings all up, in the order and under the conditions that the file states."""

    def __init__(self, compose: ComposeFile, image: Image, folder: Path, stack: ExitStack) -> None:
        self._compose = compose
        self._image = image
        self._folder = folder
        self._stack = stack
        self._ports: dict[tuple[str, int], int] = {}
        self.running: dict[str, Program] = {}
        self._secrets = folder / "secrets"
        subprocess.run([ROOT / "tools" / "containers.sh", "secrets", self._secrets], check=True, timeout=20)

    def start(self, profile: str, mongo: Sequence[str] = (), minio: Path | None = None) -> None:
        """Starts what the profile has. Fails when something does not become healthy, or does not end well that should."""
        for container in self._compose.of(profile):
            if container.is_ours:
                self._start_ours(container)
            elif container.image.startswith("postgres:"):
                self._start_postgres(container)
            elif container.image.startswith("mongo:"):
                self._stack.enter_context(mongo_server(mongo, self.port(container.name, 27017)))
            else:
                assert minio is not None
                keys = self._secret("s3_access_key"), self._secret("s3_secret_key")
                home = self._home(container.name)
                self._stack.enter_context(minio_server(minio, home, self.port(container.name, 9000), keys))

    def port(self, name: str, inside: int) -> int:
        """The port that stands for this one of a container."""
        return self._ports.setdefault((name, inside), free_port())

    def address(self, name: str) -> str:
        """Where a service of ours is reached from the host."""
        (inside,) = self._compose.containers[name].published
        return f"127.0.0.1:{self.port(name, inside)}"

    def environment(self, container: Container) -> dict[str, str]:
        """What the container's process finds, with what the file's names mean here."""
        given = {**self._image.environment, **container.environment}
        del given["PATH"]
        found = {name: self._meant(container.name, value) for name, value in given.items()}
        port = int(found.get("ANTIPHON_SERVER__PORT", "50051"))
        found["ANTIPHON_SERVER__PORT"] = str(self.port(container.name, port))
        if "DATABASE_HOST" in found:
            found["DATABASE_PORT"] = str(self.port(given["DATABASE_HOST"], int(given["DATABASE_PORT"])))
            found["DATABASE_HOST"] = "127.0.0.1"
        return clean_environment(**found)

    def database(self, name: str, database: str = "") -> psycopg.Connection[Any]:
        """A connection to a PostgreSQL of the file, from the host; to its database unless another is named."""
        given = self._compose.containers[name].environment
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port(name, 5432),
            user=given["POSTGRES_USER"],
            password=self._secret(given["POSTGRES_PASSWORD_FILE"].removeprefix(IMAGE_SECRETS)),
            dbname=database or given["POSTGRES_DB"],
            autocommit=True,
        )

    def is_healthy(self, container: Container) -> bool:
        """What the image's health check says inside this container."""
        done = subprocess.run(
            _program(self._image.health_command),
            env=self.environment(container),
            cwd=self._home(container.name),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
        return done.returncode == 0

    def _start_ours(self, container: Container) -> None:
        command = _program([*self._image.entrypoint, *container.command])
        home = self._home(container.name)
        environment = self.environment(container)
        if container.command == ["migrate"]:
            subprocess.run(
                command, env=environment, cwd=home, check=True, capture_output=True, timeout=_PATIENCE
            )
            return
        program = self._stack.enter_context(ending(Program(command, home, environment)))
        program.wait_until(lambda: self.is_healthy(container), container.name, _PATIENCE)
        self.running[container.name] = program

    def _start_postgres(self, container: Container) -> None:
        """As the image does: a superuser with this password, who may come by TCP, and a database."""
        user, database = container.environment["POSTGRES_USER"], container.environment["POSTGRES_DB"]
        password = container.environment["POSTGRES_PASSWORD_FILE"].removeprefix(IMAGE_SECRETS)
        binaries, home = find_binaries(), private_home(self._home(container.name) / "postgres")
        prefix, cluster, port = (
            command_prefix(binaries, home),
            home / "cluster",
            self.port(container.name, 5432),
        )
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", f"--username={user}"]
        made = [
            *prefix,
            str(binaries.initdb),
            "-D",
            str(cluster),
            *options,
            f"--pwfile={self._secrets / password}",
        ]
        subprocess.run(made, env=clean_environment(), check=True, capture_output=True, timeout=_PATIENCE)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "off",
            "dynamic_shared_memory_type": "mmap",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(word) for word in (*prefix, binaries.postgres, "-D", cluster, *words)]
        server = self._stack.enter_context(ending(Program(command, home, clean_environment())))
        server.wait_until(lambda: self._lets_in(container.name), container.name, _PATIENCE)
        with self.database(container.name, "postgres") as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))

    def _lets_in(self, name: str) -> bool:
        """Whether a PostgreSQL does; it listens before it does."""
        try:
            self.database(name, "postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _home(self, name: str) -> Path:
        """The folder that stands for a container's volume."""
        home = self._folder / name
        home.mkdir(mode=0o700, exist_ok=True)
        return home

    def _secret(self, name: str) -> str:
        return (self._secrets / name).read_text()

    def _meant(self, name: str, value: str) -> str:
        """A value of the environment with what its addresses and folders mean here."""
        if value == "0.0.0.0":
            return "127.0.0.1"
        if value == "/data":
            return str(self._home(name))
        if value.startswith(IMAGE_SECRETS):
            return str(self._meant_secret(name, value.removeprefix(IMAGE_SECRETS)))
        return self._with_ports(name, value)

    def _meant_secret(self, name: str, secret: str) -> Path:
        """The file of a secret; of an address, one that leads to what plays the host."""
        text = self._secret(secret)
        if "://" not in text:
            return self._secrets / secret
        # The player of MongoDB knows no users.
        meant = re.sub(r"//[^/]*@", "//", self._with_ports(name, text)).partition("?")[0]
        path = self._home(name) / secret
        path.write_text(meant)
        return path

    def _with_ports(self, name: str, value: str) -> str:
        def here(match: re.Match[str]) -> str:
            if match["host"]:
                return f"127.0.0.1:{self.port(match['host'], int(match['at']))}"
            if match["own"]:
                return f"127.0.0.1:{self.port(name, int(match['own']))}"
            return f"127.0.0.1:{self._published(int(match['outside']))}"

        return _AUTHORITY.sub(here, value)

    def _published(self, outside: int) -> int:
        """What stands for a port of the host."""
        for each in self._compose.containers.values():
            for inside, (_, port) in each.published.items():
                if port == outside and "small" not in each.profiles:
                    return self.port(each.name, inside)
        raise AssertionError(f"nothing is published at port {outside}")


def _program(words: Sequence[str]) -> list[str]:
    """The image's command with this Python."""
    assert words[0] == "antiphon"
    return [sys.executable, "-m", "services.cli", *words[1:]]
