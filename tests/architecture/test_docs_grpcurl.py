"""docs/grpcurl.md shows every RPC of the contract, once; tests/peers/test_peers_grpcurl_docs.py runs what it shows."""

import importlib.resources
import re
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

PAGE = Path(__file__).resolve().parents[2] / "docs" / "grpcurl.md"
SECTIONS = re.compile(r"^## (\w+Service)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
CALLED = re.compile(r"^(?:\w+=\$\()?grpcurl .* \$at (antiphon\.[\w.]+/\w+)", re.MULTILINE)


def test_each_rpc_is_called_once_in_the_section_of_its_service() -> None:
    raw = importlib.resources.files("antiphon").joinpath("descriptors.binpb").read_bytes()
    declared = {
        service.name: sorted(f"{file.package}.{service.name}/{method.name}" for method in service.method)
        for file in FileDescriptorSet.FromString(raw).file
        for service in file.service
    }
    shown = {
        name: sorted(CALLED.findall(section))
        for name, section in SECTIONS.findall(PAGE.read_text(encoding="utf-8"))
    }
    assert shown == declared
