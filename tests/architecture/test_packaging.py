"""What is installed runs: floors fit the generated code, and a light installation needs nothing of the server."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LIGHT = (
    "antiphon.auth.v1.auth_pb2_grpc",
    "antiphon.chat.v1.chat_pb2_grpc",
    "antiphon_client",
    "services.cli",
)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


def floor(package: str) -> tuple[int, ...]:
    for requirement in PROJECT["dependencies"]:
        if normal(requirement) == package:
            return version(requirement.partition(">=")[2])
    raise AssertionError(f"{package} is no dependency")


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def generated(pattern: str) -> set[tuple[int, ...]]:
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "gen" / "python").rglob("*.py"))
    return {version(found) for text in texts for found in re.findall(pattern, text)}


def test_floors_are_what_the_generated_code_asks_for() -> None:
    assert floor("grpcio") >= max(generated(r"GRPC_GENERATED_VERSION = '([\d.]+)'"))
    assert floor("protobuf") >= max(generated(r"# Protobuf Python Version: ([\d.]+)"))


def test_constraints_are_names_and_versions_that_cover_all_extras() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", pin)] == []
    wanted = [
        *PROJECT["dependencies"],
        *(name for extra in PROJECT["optional-dependencies"].values() for name in extra),
    ]
    assert {normal(name) for name in wanted} <= {normal(pin) for pin in pins}


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_installation_imports(module: str) -> None:
    server = {normal(requirement) for requirement in PROJECT["optional-dependencies"]["server"]}
    owners = importlib.metadata.packages_distributions()
    absent = sorted(name for name, of in owners.items() if {normal(owner) for owner in of} <= server)
    block = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_gives_help_without_the_server() -> None:
    server = {normal(requirement) for requirement in PROJECT["optional-dependencies"]["server"]}
    owners = importlib.metadata.packages_distributions()
    absent = sorted(name for name, of in owners.items() if {normal(owner) for owner in of} <= server)
    block = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); sys.argv[1:] = ['--help']; import services.cli"
    done = subprocess.run(
        [sys.executable, "-c", f"{block}; services.cli.main()"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "chat" in done.stdout
