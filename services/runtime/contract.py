"""The contract as a descriptor set: all its files, whether this process serves them or not."""

from __future__ import annotations

import importlib.resources
from functools import cache

from google.protobuf.descriptor_pb2 import FileDescriptorSet


@cache
def contract() -> FileDescriptorSet:
    """The contract as `make proto` wrote it, comments and imports among it. Read when somebody asks for it first."""
    data = importlib.resources.files("antiphon").joinpath("descriptors.binpb").read_bytes()
    return FileDescriptorSet.FromString(data)
