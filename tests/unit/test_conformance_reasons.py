"""Every reason of the contract has a case that shows it to all clients, or an excuse."""

from collections.abc import Iterator, Mapping
from typing import Any

from antiphon.errors.v1 import error_reason_pb2

from conformance.driver import cases

_PREFIX = "ERROR_REASON_"
_EXCUSES: Mapping[str, str] = {
    "UNSPECIFIED": "It is never sent.",
    "INTERNAL": "Nothing is known that makes the server fail in a way that it did not foresee.",
    "CANCELLED": "An account would have to be deleted in the moment in which an answer is made for it.",
    "SHUTTING_DOWN": "A call would have to arrive between the signal and the end of the listener.",
    "RECONCILE_RUNNING": "Two repairs would have to meet, and each is over in some milliseconds.",
    "IMAGES_NOT_STORED": "The suite keeps objects in a folder of its own, which takes all of them.",
    "AUDIO_NOT_STORED": "As IMAGES_NOT_STORED.",
    "ENGINE_STOPPED": "The process that speaks would have to be found among those of the suite, and killed at its work.",
}


def test_every_reason_has_a_case_or_an_excuse() -> None:
    reasons = {name.removeprefix(_PREFIX) for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118
    shown = {
        reason for case in cases.read() for step in case.steps for reason in _reasons(step.get("expect"))
    }
    assert shown - {""} <= reasons
    assert reasons - shown == set(_EXCUSES)


def _reasons(expected: Any) -> Iterator[str]:
    """What stands as the reason of an error, whatever it stands in."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            if key == "error" and isinstance(value.get("reason"), str):
                yield value["reason"]
            else:
                yield from _reasons(value)
    elif isinstance(expected, list):
        for value in expected:
            yield from _reasons(value)
