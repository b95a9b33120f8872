"""What the folders and files of the suite keep to, beyond what the linters see."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("services", "clients/python", "tests", "tools", "bench", "conformance")
NAMELESS = {"utils", "util", "helpers", "helper", "common", "shared", "manager", "managers", "misc", "base"}
LONGEST_FILE = 400


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders or FOLDERS:
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def names(paths: Iterator[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_names_say_what_a_thing_is() -> None:
    parts = (
        (path, {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}) for path in sources()
    )
    assert names(path for path, found in parts if found & NAMELESS) == []


def test_no_file_grows_out_of_sight() -> None:
    long = (path for path in sources() if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE)
    assert names(long) == []


def test_every_package_says_what_it_does() -> None:
    inits = [path for path in sources("services", "clients/python", "tools") if path.name == "__init__.py"]
    silent = (path for path in inits if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))
    assert names(silent) == []


def test_every_folder_of_the_server_is_a_package() -> None:
    # Alembic loads revisions by path.
    loaded = {"migrations", "versions"}
    folders = {path.parent for path in sources("services") if path.parent.name not in loaded}
    assert names(folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()) == []


def test_the_kernel_needs_the_standard_library_alone() -> None:
    foreign = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources("services/kernel")
        for module in imports(path)
        if module.split(".")[0] not in sys.stdlib_module_names and not module.startswith("services.kernel")
    }
    assert foreign == set()


def test_generated_folders_hold_generated_code_only() -> None:
    assert names(sources("gen/python")) == [name for name in names(sources("gen/python")) if "_pb2" in name]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "services.kernel"
            elif node.module == "services":
                yield from (f"services.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""
