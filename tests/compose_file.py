"""docker-compose.yml and the Dockerfile, read as far as the tests want to know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
IMAGE_SECRETS = "/run/secrets/"
# `${NAME:-default}`; the tests set none of these names.
_VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


@dataclass(frozen=True)
class Image:
    """What the Dockerfile says of the image that it makes, and of those that it builds upon."""

    bases: tuple[str, ...]
    environment: Mapping[str, str]
    instructions: tuple[tuple[str, str], ...]
    """Those of the last stage, in their order."""

    def last(self, instruction: str) -> str:
        """The arguments of the last such instruction. Raises KeyError when there is none."""
        return dict(self.instructions)[instruction]

    @property
    def entrypoint(self) -> list[str]:
        """What a container's command is put behind."""
        found: list[str] = json.loads(self.last("ENTRYPOINT"))
        return found

    @property
    def health_command(self) -> list[str]:
        """What says, by its exit code, whether a container is healthy."""
        found: list[str] = json.loads(self.last("HEALTHCHECK").partition("CMD ")[2])
        return found


@dataclass(frozen=True)
class Container:
    """A service of the compose file."""

    name: str
    described: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        """Whether it runs the image of the Dockerfile."""
        return "build" in self.described

    @property
    def image(self) -> str:
        """Which image it runs."""
        return str(self.described["image"])

    @property
    def profiles(self) -> list[str]:
        """Which profiles it is part of."""
        return list(self.described["profiles"])

    @property
    def command(self) -> list[str]:
        """What is put behind the image's entry point."""
        return list(self.described.get("command", []))

    @property
    def environment(self) -> dict[str, str]:
        """What is set beside the image's environment."""
        return dict(self.described.get("environment", {}))

    @property
    def secrets(self) -> list[str]:
        """The names of the secrets that it is given."""
        return list(self.described.get("secrets", []))

    @property
    def published(self) -> dict[int, tuple[str, int]]:
        """Ports of the container, each with the host's address and port that lead there."""
        found = {}
        for port in self.described.get("ports", []):
            address, outside, inside = port.split(":")
            found[int(inside)] = (address, int(outside))
        return found

    @property
    def waits_for(self) -> dict[str, str]:
        """Other services, each with the condition that it has to meet before this one is started."""
        return {name: each["condition"] for name, each in self.described.get("depends_on", {}).items()}


@dataclass(frozen=True)
class ComposeFile:
    """The services by their names, and the top-level names that they may use."""

    containers: Mapping[str, Container]
    secrets: Mapping[str, str]
    """Where on the host each secret is."""
    volumes: frozenset[str]
    networks: frozenset[str]

    def of(self, profile: str) -> list[Container]:
        """The services of a profile, each behind those that it waits for."""
        wanted = {name: each for name, each in self.containers.items() if profile in each.profiles}
        ordered: dict[str, Container] = {}
        while len(ordered) < len(wanted):
            ready = [
                name for name in wanted if name not in ordered and set(wanted[name].waits_for) <= set(ordered)
            ]
            assert ready, f"these wait for one another: {sorted(set(wanted) - set(ordered))}"
            ordered.update({name: wanted[name] for name in ready})
        return list(ordered.values())


def compose_file() -> ComposeFile:
    """docker-compose.yml, with the defaults of its variables."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    read = _with_defaults(yaml.safe_load(text))
    return ComposeFile(
        {name: Container(name, described) for name, described in read["services"].items()},
        {name: each["file"] for name, each in read["secrets"].items()},
        frozenset(read["volumes"]),
        frozenset(read["networks"]),
    )


def image() -> Image:
    """The Dockerfile."""
    read = list(_instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")))
    stages = [number for number, (name, _) in enumerate(read) if name == "FROM"]
    last = tuple(read[stages[-1] :])
    pairs = [pair for name, words in last if name == "ENV" for pair in words.split()]
    environment = dict(pair.split("=", 1) for pair in pairs)
    return Image(tuple(read[number][1].split()[0] for number in stages), environment, last)


def _with_defaults(read: Any) -> Any:
    """What was read, with the defaults of variables in their place. Compose, too, replaces them behind YAML."""
    if isinstance(read, dict):
        return {key: _with_defaults(value) for key, value in read.items()}
    if isinstance(read, list):
        return [_with_defaults(value) for value in read]
    return _VARIABLE.sub(r"\1", read) if isinstance(read, str) else read


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, words = line.strip().partition(" ")
        yield name, " ".join(words.split())
