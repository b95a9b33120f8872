"""Writes constraints.txt: the newest versions that pyproject.toml allows, of every extra and of what builds the wheel.

They are resolved in a fresh virtual environment, so nothing installed by hand gets in.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.environment import BUILD, EXTRAS, ROOT

HEADER = "# Versions that are tested together; `make lock` refreshes them.\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "venv", "bin", "python")
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *BUILD, f"{ROOT}[{EXTRAS['dev']}]"], check=True)
        frozen = subprocess.run(
            [*pip, "freeze", "--exclude", "antiphon"], check=True, capture_output=True, text=True
        )
    lines = sorted(frozen.stdout.splitlines(), key=str.lower)
    unpinned = [line for line in lines if "==" not in line]
    if unpinned:
        sys.exit(f"No plain versions: {', '.join(unpinned)}")
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
