"""Makes and checks the stubs of the clients in other languages that are committed: Python's are made by tools/contract.py, and Java's by
its own build.

python -m tools.clients [LANGUAGE …]         write the stubs of these languages, or of all
python -m tools.clients check [LANGUAGE …]   end with 1 when they are not what the protos make

Needs the packages of the extra `dev` and each language's own tools. The first run of a language needs its registry.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import third_party_protos
from tools.contract import differences, replace

ROOT = Path(__file__).resolve().parent.parent
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0",
)


@dataclass(frozen=True, slots=True)
class Stubs:
    """What is generated for a language: `write` makes it below a folder, where the checkout has it in `folders`, and nothing else there."""

    write: Callable[[Path], None]
    folders: Sequence[str]


def buf(template: str, target: Path, *plugins: Path) -> None:
    """Run buf with a template of the checkout, the folders of plugins first on its path."""
    program = Path(sys.executable).with_name("buf")
    path = os.pathsep.join([*map(str, plugins), os.environ.get("PATH", os.defpath)])
    run([str(program), "generate", "--template", template, "-o", str(target)], {"PATH": path})


def run(command: list[str], environment: Mapping[str, str]) -> None:
    """Run a command at the root of the checkout; a failure ends the program."""
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    except FileNotFoundError:
        sys.exit(f"clients: {command[0]} is not on the path")
    if done.returncode:
        sys.exit(f"clients: {' '.join(command)} failed")


def go(target: Path) -> None:
    """By plugins of pinned versions, which are kept in build/go."""
    plugins = ROOT / "build" / "go"
    for plugin in GO_PLUGINS:
        run(["go", "install", "-p", "1", plugin], {"GOBIN": str(plugins)})
    buf("buf.gen.go.yaml", target, plugins)


def typescript(target: Path) -> None:
    """By the plugin that the package's lock file names."""
    package = ROOT / "clients" / "typescript"
    run(["npm", "--prefix", str(package), "ci", "--no-audit", "--no-fund"], {})
    buf("buf.gen.typescript.yaml", target, package / "node_modules" / ".bin")


def rust(target: Path) -> None:
    """By a generator of our own, which reads the descriptors of gen/python. The conformance runner's table of methods comes with them."""
    stubs, runner = (target / folder for folder in LANGUAGES["rust"].folders)
    for folder in (stubs, runner):
        folder.mkdir(parents=True, exist_ok=True)
    command = ["cargo", "run", "--quiet", "--manifest-path", str(ROOT / "clients" / "rust" / "Cargo.toml")]
    command += ["--package", "antiphon-client-generator", "--"]
    command += [str(ROOT / "gen" / "python" / "antiphon" / "descriptors.binpb"), str(stubs)]
    command += [str(runner / "methods.rs")]
    run(command, {"CARGO_TARGET_DIR": str(ROOT / "build" / "rust"), "CARGO_BUILD_JOBS": "1"})


LANGUAGES: Mapping[str, Stubs] = {
    "go": Stubs(go, ["clients/go/gen"]),
    "rust": Stubs(rust, ["clients/rust/src/gen", "conformance/runners/rust/src/gen"]),
    "typescript": Stubs(typescript, ["clients/typescript/src/gen"]),
}


def main(arguments: Sequence[str]) -> None:
    checking = arguments[:1] == ["check"]
    names = arguments[checking:]
    unknown = sorted(set(names) - set(LANGUAGES))
    if "java" in names:
        sys.exit("clients: Java's stubs are made by its own build, and not kept: mvn -f clients/java package")
    if unknown:
        sys.exit(f"clients: no stubs are made for {', '.join(unknown)}; there are {', '.join(LANGUAGES)}")
    third_party_protos.write(ROOT / "build" / "protos")
    changed: list[str] = []
    for stubs in map(LANGUAGES.__getitem__, names or LANGUAGES):
        with tempfile.TemporaryDirectory() as made:
            stubs.write(Path(made))
            for folder in stubs.folders:
                changed += [f"{folder}/{name}" for name in differences(Path(made, folder), ROOT / folder)]
                if not checking:
                    replace(Path(made, folder), ROOT / folder)
    listed = "".join(f"\n  {path}" for path in changed)
    if checking and changed:
        sys.exit(f"clients: these are not what the protos make; run `make clients`:{listed}")
    print(f"clients: written anew:{listed}" if changed else "clients: all stubs are what the protos make")


if __name__ == "__main__":
    main(sys.argv[1:])
