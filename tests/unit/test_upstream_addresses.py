"""What callers are told of a provider's refusal: its words, and nothing of the network that it is in."""

import json
import time

import pytest

from services.capabilities.upstream.addresses import without_addresses
from services.capabilities.upstream.refusals import Refusal


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("see https://user:pw@gpu-7.corp:8080/v1?x=1 for more", "see … for more"),
        ("upstream 10.0.3.7:8000 refused", "upstream … refused"),
        ("no route to [fe80::1:2] or 2001:db8:0:0:0:0:0:1", "no route to … or …"),
        ("host=10.1.2.3/24 at worker.gpu.internal.", "host=…/24 at …."),
        ("[fe80::1]:8080: timed out", "…: timed out"),
        ("backend:8000 and localhost and sd.internal are away", "… and … and … are away"),
        ("ask images-3.prod.example.museum.", "ask …."),
    ],
)
def test_addresses_are_left_out(said: str, told: str) -> None:
    assert without_addresses(said) == told


@pytest.mark.parametrize(
    "said",
    [
        "Invalid value: '512'. Supported values are: '1024x1024', and at 12:30:45 auto.",
        "messages[0].content is too long for gpt-4.1-mini (max_tokens: 4096)",
        "Your request was rejected by the safety system, e.g. safety_violations=[sexual].",
        "ratio 16:9, temperature 0.7, version 1.2.3",
    ],
)
def test_other_words_stay(said: str) -> None:
    assert without_addresses(said) == said


def test_the_log_has_what_callers_have_not() -> None:
    body = json.dumps({"error": {"message": "the key sk-1 is not for http://10.0.0.5:7860/sdapi"}}).encode()
    error = Refusal(400, {}, body).failure("flux", "sk-1")
    assert error.message.endswith("the key … is not for …")
    assert error.said == "the key … is not for http://10.0.0.5:7860/sdapi"


def test_a_long_text_takes_no_time() -> None:
    began = time.perf_counter()
    for text in ("a.", "a-", "1:", ":", "a:", "1.", "a+", "[a:", "h://"):
        without_addresses(text * 20_000)
    assert time.perf_counter() - began < 1
