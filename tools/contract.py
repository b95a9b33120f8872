"""Builds and checks what is made from the contract in `protos/`; needs the packages of the extra `dev` and no network.

python -m tools.contract format        format the protos
python -m tools.contract generate      format the protos, write gen/python and docs/reference
python -m tools.contract descriptors   write build/antiphon.binpb, for `grpcurl -protoset`
python -m tools.contract release       write protos/released.binpb, what later contracts must stay compatible with
python -m tools.contract check         format, lint, compatibility, and that gen/python and docs/reference are what the protos make
"""

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2

from tools import reference, third_party_protos

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ROOT / "gen" / "python"
REFERENCE = ROOT / "docs" / "reference"
RELEASED = ROOT / "protos" / "released.binpb"
DESCRIPTORS = Path("antiphon", "descriptors.binpb")


def buf(*arguments: str | Path) -> None:
    """Run buf at the root of the checkout; a failure ends the program with buf's own message."""
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    done = subprocess.run([folder / "buf", *arguments], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(f"contract: buf {arguments[0]} failed")


def error_details(target: Path) -> list[FileDescriptorProto]:
    """What the details of a failed call are made of: nothing in the contract imports it, and whoever shows them needs it."""
    folder = Path(error_details_pb2.__file__).parents[2]
    source = "google/rpc/error_details.proto"
    google = Path(grpc_tools.__file__).with_name("_proto")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-I{google}"]
    if subprocess.run([*command, f"--descriptor_set_out={target}", source], check=False).returncode:
        sys.exit("contract: protoc failed")
    return list(FileDescriptorSet.FromString(target.read_bytes()).file)


def descriptors(target: Path) -> None:
    """Write all files of the contract and their imports as one set, ours with comments."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "descriptors.binpb")
        buf("build", "protos", "--as-file-descriptor-set", "-o", raw)
        files = FileDescriptorSet.FromString(raw.read_bytes())
        files.file.extend(error_details(Path(folder, "details.binpb")))
    for file in files.file:
        locations = [
            location
            for location in file.source_code_info.location
            if location.leading_comments or location.trailing_comments or location.leading_detached_comments
        ]
        file.ClearField("source_code_info")
        if file.package.startswith("antiphon."):
            file.source_code_info.location.extend(locations)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(files.SerializeToString(deterministic=True))


def generate(folder: Path, pages: Path) -> None:
    """Write everything that gen/python holds below `folder`, and what docs/reference holds into `pages`."""
    buf("generate", "-o", folder)
    for stub in folder.rglob("*_pb2_grpc.pyi"):
        if not stub.with_suffix(".py").exists():  # The contract has no service there.
            stub.unlink()
    descriptors(folder / DESCRIPTORS)
    for package in ("antiphon", "buf"):
        (folder / package / "py.typed").touch()
    reference.write(folder / DESCRIPTORS, pages)


def differences(made: Path, kept: Path) -> list[str]:
    """Relative paths of the files that differ, or that only one of two folders has."""
    paths = {
        path.relative_to(folder)
        for folder in (made, kept)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    return sorted(
        str(path)
        for path in paths
        if not ((made / path).is_file() and (kept / path).is_file())
        or not filecmp.cmp(made / path, kept / path, shallow=False)
    )


def replace(made: Path, kept: Path) -> None:
    """Make `kept` equal to `made`, touching only what differs."""
    for name in differences(made, kept):
        if (made / name).is_file():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            staged = (kept / name).with_suffix(".staged")
            shutil.copyfile(made / name, staged)
            staged.replace(kept / name)
        else:
            (kept / name).unlink()


def check() -> None:
    """End the program with what is wrong, if anything is."""
    buf("format", "protos", "--diff", "--exit-code")
    buf("lint")
    if not RELEASED.exists():
        sys.exit("contract: protos/released.binpb is missing; `make release-contract` writes it")
    buf("breaking", "protos", "--exclude-imports", "--against", RELEASED)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as pages:
        generate(Path(folder), Path(pages))
        changed = [
            str((kept / name).relative_to(ROOT))
            for made, kept in ((folder, GENERATED), (pages, REFERENCE))
            for name in differences(Path(made), kept)
        ]
    if changed:
        sys.exit("contract: these are not what the protos make; run `make proto`:\n  " + "\n  ".join(changed))


def main(task: str) -> None:
    third_party_protos.write(ROOT / "build" / "protos")
    if task == "format":
        buf("format", "protos", "--write")
    elif task == "generate":
        buf("format", "protos", "--write")
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as pages:
            generate(Path(folder), Path(pages))
            replace(Path(folder), GENERATED)
            replace(Path(pages), REFERENCE)
    elif task == "descriptors":
        descriptors(ROOT / "build" / "antiphon.binpb")
        print("build/antiphon.binpb")
    elif task == "release":
        buf("build", "protos", "--exclude-source-info", "-o", RELEASED)
    elif task == "check":
        check()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
