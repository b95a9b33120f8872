"""docs/reference says what the descriptors say, all of it."""

import importlib.resources
from pathlib import Path

import pytest
from antiphon.usage.v1 import usage_pb2
from buf.validate import validate_pb2
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools import reference
from tools.reference_rules import Unspoken, words

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
DESCRIPTORS = importlib.resources.files("antiphon").joinpath("descriptors.binpb").read_bytes()


def spoken(rules: str) -> list[str]:
    return words(text_format.Parse(rules, validate_pb2.FieldRules()), usage_pb2.Unit.Name)


def test_the_pages_are_those_of_todays_contract() -> None:
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert reference.pages(DESCRIPTORS) == kept, "run `make proto`"


def test_everything_that_the_contract_declares_is_on_the_page_of_its_package() -> None:
    made = reference.pages(DESCRIPTORS)
    missing = []
    for file in FileDescriptorSet.FromString(DESCRIPTORS).file:
        if not file.package.startswith("antiphon."):
            continue
        page = made[f"{file.package}.md"]
        expected = [f"### {service.name}.{rpc.name}\n" for service in file.service for rpc in service.method]
        declared = [*(each.name for each in file.message_type), *(each.name for each in file.enum_type)]
        expected += [f"### {name}\n" for name in declared]
        expected += [f"| `{field.name}` | " for message in file.message_type for field in message.field]
        expected += [f"| `{value.name}` | " for enum in file.enum_type for value in enum.value]
        missing += [f"{file.package}: {each}" for each in expected if each not in page]
    assert missing == []


def test_an_rpc_is_told_with_its_policy() -> None:
    page = reference.pages(DESCRIPTORS)["antiphon.chat.v1.md"]
    section = page.partition("### ChatService.StreamChat\n")[2].partition("\n### ")[0]
    assert "[StreamChatRequest](#streamchatrequest) → stream of [StreamChatResponse]" in section
    assert "StreamChat answers a message, event by event" in section
    assert section.rstrip().endswith(
        "Access: [optional](antiphon.options.v1.md#access) · scope: `chat.write` · limit: `chat` · idempotent"
        " · metered as `llm_chat`"
    )


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("required: true", ["required"]),
        ("ignore: IGNORE_IF_ZERO_VALUE string { uuid: true }", ["a UUID or empty"]),
        ("string { min_len: 1 max_bytes: 100000 }", ["not empty", "at most 100,000 bytes"]),
        ("int32 { gte: 0 lte: 100000 }", ["0 to 100,000"]),
        ("int64 { gte: 0 lte: 1000000000000000 }", ["0 to 1,000,000,000,000,000"]),
        ("double { gt: 0 lte: 1.5 finite: true }", ["&gt; 0", "≤ 1.5", "finite"]),
        ("enum { defined_only: true not_in: 0 }", ["a value of the list", "not `UNIT_UNSPECIFIED`"]),
        ("repeated { max_items: 3 unique: true }", ["at most 3", "none twice"]),
        (
            "repeated { min_items: 1 items { string { max_len: 64 } } }",
            ["not empty", "each at most 64 characters"],
        ),
        ("repeated { items { ignore: IGNORE_ALWAYS } }", ["each judged by the RPC itself"]),
        ("duration { gte {} lte { seconds: 600 } }", ["0 to 600 s"]),
        ("timestamp { gt_now: true }", ["in the future"]),
    ],
)
def test_rules_have_words(rules: str, said: list[str]) -> None:
    assert spoken(rules) == said


@pytest.mark.parametrize("rules", ["string { ipv6: true }", "bytes { min_len: 1 }", "cel { id: 'odd' }"])
def test_a_rule_without_words_is_not_passed_over(rules: str) -> None:
    with pytest.raises(Unspoken):
        spoken(rules)
