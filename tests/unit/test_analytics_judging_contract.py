"""The rules that the contract states for an event, and those that it is judged by, are the same as far as they go."""

import protovalidate
from antiphon.usage.v1 import usage_pb2
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.mapping.events import submitted
from services.analytics.model.events import RecordedEvent
from services.analytics.usecases.judging import judged
from services.runtime.interceptors.validation import path_of
from tests.fakes.analytics_events import micros
from tests.fakes.analytics_stage import FOR_EVER, NOW, message


def texts(longest: int) -> st.SearchStrategy[str]:
    return st.one_of(
        st.just(""),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
        st.sampled_from([longest, longest + 1]).map(lambda length: "€" * length),
    )


ENUMS = st.integers(-1, 5)
SECONDS = st.sampled_from([-1, 0, 1, 32 * 86_400])
# Units that are no unit may stand twice, in each of them the same is wrong.
QUANTITIES = st.lists(
    st.builds(usage_pb2.Quantity, unit=st.integers(-1, 9), amount=st.sampled_from([-1, 0, 1, 10**9])),
    max_size=20,
    unique_by=lambda one: one.unit if 1 <= one.unit <= 7 else id(one),
)


@st.composite
def events(draw: st.DrawFn) -> usage_pb2.UsageEvent:
    """Events whose faults, if they have any, are of the kinds that the contract has rules for."""
    made = message(
        service_type=draw(ENUMS),
        operation=draw(texts(64)),
        status=draw(ENUMS),
        error_reason=draw(texts(64)),
        user_id=draw(texts(64)),
        api_key_id=draw(texts(64)),
        session_id=draw(texts(64)),
        project=draw(texts(128)),
        model=draw(texts(256)),
        provider=draw(texts(128)),
        request_id=draw(texts(64)),
        quantities=draw(QUANTITIES),
        provenance=draw(ENUMS),
        variant=draw(texts(64)),
        refused=draw(st.booleans()),
    )
    if draw(st.integers(0, 5)) == 0:
        made.event_id = draw(st.sampled_from(["", "no id", made.event_id[:-1], made.event_id[1:]]))
    if draw(st.integers(0, 5)) == 0:
        made.ClearField("start_time")
    if draw(st.integers(0, 5)) == 0:
        made.ClearField("latency")
    else:
        made.latency.seconds = draw(SECONDS)
    if draw(st.booleans()):
        made.time_to_first_token.seconds = draw(SECONDS)
    return made


def by_contract(event: usage_pb2.UsageEvent) -> set[str]:
    return {_item(path_of(one.proto.field)) for one in protovalidate.collect_violations(event)}


def by_judging(event: usage_pb2.UsageEvent) -> set[str]:
    (one,) = submitted([event])
    verdict = judged(one, micros(NOW), micros(NOW - FOR_EVER))
    return set() if isinstance(verdict, RecordedEvent) else {_item(fault.field) for fault in verdict}


def _item(path: str) -> str:
    """Of a quantity one thing that is wrong is enough."""
    return path.split(".")[0]


@settings(max_examples=60)
@given(events())
def test_what_breaks_the_contract_is_refused_and_nothing_else_is(event: usage_pb2.UsageEvent) -> None:
    assert by_judging(event) == by_contract(event)


def test_too_many_quantities_break_the_contract() -> None:
    event = message(quantities=[usage_pb2.Quantity(unit=usage_pb2.UNIT_IMAGES, amount=1)] * 33)
    assert by_contract(event) == by_judging(event) == {"quantities"}


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=8))
def test_whatever_comes_is_judged(changed: list[tuple[int, int]]) -> None:
    payload = bytearray(message().SerializeToString())
    for place, byte in changed:
        payload[place % len(payload)] = byte
    try:
        event = usage_pb2.UsageEvent.FromString(bytes(payload))
    except DecodeError:
        return
    assert by_judging(event) >= by_contract(event)
