"""Generates the stubs of the clients in other languages that are committed; Python's are made by tools/contract.py.

python -m tools.clients [LANGUAGE …]   write the stubs of these languages, or of all

Needs the packages of the extra `dev` and each language's own tools. The first run of a language may need its registry.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools import third_party_protos

ROOT = Path(__file__).resolve().parent.parent
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0",
)


def generate(template: str, *plugins: Path) -> None:
    """Run buf with a template at the root of the checkout, the folders of plugins first on its path."""
    buf = Path(sys.executable).with_name("buf")
    path = os.pathsep.join([*map(str, plugins), os.environ.get("PATH", os.defpath)])
    run([str(buf), "generate", "--template", template], {"PATH": path})


def run(command: list[str], environment: Mapping[str, str]) -> None:
    """Run a command at the root of the checkout; a failure ends the program."""
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    except FileNotFoundError:
        sys.exit(f"clients: {command[0]} is not on the path")
    if done.returncode:
        sys.exit(f"clients: {' '.join(command)} failed")


def go() -> None:
    """clients/go/gen, by plugins of pinned versions that are kept in build/go."""
    plugins = ROOT / "build" / "go"
    for plugin in GO_PLUGINS:
        run(["go", "install", "-p", "1", plugin], {"GOBIN": str(plugins)})
    generate("buf.gen.go.yaml", plugins)


def typescript() -> None:
    """clients/typescript/src/gen, by the plugin that the package's lock file names."""
    folder = ROOT / "clients" / "typescript"
    run(["npm", "--prefix", str(folder), "ci", "--no-audit", "--no-fund"], {})
    generate("buf.gen.typescript.yaml", folder / "node_modules" / ".bin")


def rust() -> None:
    """clients/rust/src/gen and the table of the conformance runner, by a generator that reads the descriptors of gen/python."""
    client = ROOT / "clients" / "rust"
    command = ["cargo", "run", "--quiet", "--manifest-path", str(client / "Cargo.toml")]
    command += ["--package", "antiphon-client-generator", "--"]
    command += [str(ROOT / "gen" / "python" / "antiphon" / "descriptors.binpb"), str(client / "src" / "gen")]
    command += [str(ROOT / "conformance" / "runners" / "rust" / "src" / "methods.rs")]
    run(command, {"CARGO_TARGET_DIR": str(ROOT / "build" / "rust")})


LANGUAGES: Mapping[str, Callable[[], None]] = {
    "go": go,
    "rust": rust,
    "typescript": typescript,
}


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(LANGUAGES))
    if unknown:
        sys.exit(f"clients: no stubs are made for {', '.join(unknown)}; there are {', '.join(LANGUAGES)}")
    third_party_protos.write(ROOT / "build" / "protos")
    for name in names or LANGUAGES:
        LANGUAGES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
