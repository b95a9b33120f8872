"""What docker-compose.yml describes works: its services as processes, with the very commands and environments that it gives them."""

import json
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.compose_file import compose_file, image
from tests.peers.compose_play import Play
from tests.peers.programs import clean_environment, eventually

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]

EMAIL = "ana@example.com"
PASSWORD = "correct horse battery staple"
SERVICES = ("auth", "chat", "image", "speech", "analytics")


class Person:
    """Somebody at a terminal of the host."""

    def __init__(self, play: Play, folder: Path) -> None:
        self._play = play
        self._home = folder / "home"
        self._home.mkdir()
        self._token = ""

    def antiphon(self, service: str, *words: str, stdin: str = "") -> str:
        """What the command prints; it has to succeed."""
        token = {"ANTIPHON_TOKEN": self._token} if self._token else {}
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *words],
            input=stdin,
            env=clean_environment(
                ANTIPHON_SERVER=self._play.address(service), XDG_CONFIG_HOME=str(self._home), **token
            ),
            cwd=self._home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def enter(self, service: str) -> None:
        """Registers and logs in there; the token is good everywhere."""
        self.antiphon(service, "register", EMAIL, "--password-stdin", stdin=f"{PASSWORD}\n")
        self.antiphon(service, "login", EMAIL, "--password-stdin", stdin=f"{PASSWORD}\n")
        self._token = self.antiphon(service, "token").strip()

    def used(self, service: str) -> set[str]:
        """The models that the person's usage has, as Analytics tells."""
        told: Any = json.loads(self.antiphon(service, "usage", "--by", "model", "--json"))
        return {name for name in ("echo", "procedural", "espeak-ng") if f'"{name}"' in json.dumps(told)}


def fetched(url: str) -> bytes:
    """What a link leads to."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        found: bytes = answer.read()
        return found


def spoken(play: Play, server: str) -> int:
    """How many conversions a PostgreSQL has."""
    with play.database(server) as connection:
        row = connection.execute("select count(*) from speech.tts_conversions").fetchone()
        assert row is not None
        return int(row[0])


def test_a_container_per_service(tmp_path: Path, mongo_command: list[str], minio_program: Path) -> None:
    with ExitStack() as stack:
        play = Play(compose_file(), image(), tmp_path, stack)
        play.start("full", mongo_command, minio_program)
        assert tuple(sorted(play.running)) == tuple(sorted(SERVICES))
        assert "An administrator was made." in play.running["auth"].output

        ana = Person(play, tmp_path)
        ana.enter("auth")
        assert "hello" in ana.antiphon("chat", "chat", "--model", "echo", "hello")
        picture, sound = tmp_path / "picture.png", tmp_path / "sound.wav"
        ana.antiphon("image", "image", "generate", "a lake", "--output", str(picture))
        ana.antiphon(
            "speech", "speech", "say", "Good morning.", "--model", "espeak-ng", "--output", str(sound)
        )
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert sound.read_bytes().startswith(b"RIFF")
        # Links lead to where the host reaches MinIO, and Speech keeps its table in a server of its own.
        (made,) = json.loads(ana.antiphon("image", "image", "list", "--json"))["images"]
        described = json.loads(ana.antiphon("image", "image", "get", made["imageId"], "--json"))["image"]
        assert fetched(described["downloadUrl"]) == picture.read_bytes()
        assert spoken(play, "postgres-speech") == 1
        assert spoken(play, "postgres") == 0

        everything = {"echo", "procedural", "espeak-ng"}
        eventually(lambda: ana.used("analytics") == everything, "usage of three services", 30)

        for name in reversed(SERVICES):
            assert play.running[name].stop() == 0, play.running[name].output


def test_all_in_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        play = Play(compose_file(), image(), tmp_path, stack)
        play.start("small")
        ana = Person(play, tmp_path)
        ana.enter("suite")
        assert "hello" in ana.antiphon("suite", "chat", "--model", "echo", "hello")
        # Neither a secret nor a database was given: both are in the volume.
        assert {"secret", "postgres"} <= {path.name for path in (tmp_path / "suite").iterdir()}
        assert play.running["suite"].stop() == 0
