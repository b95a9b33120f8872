"""Which calls are metered: the contract says so, and the others pay nothing."""

from __future__ import annotations

from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from services.kernel.metering import EndedCall
from services.runtime.interceptors.metering import Metering
from services.runtime.methods import methods_of
from services.runtime.mounted import Mounted
from services.runtime.policy import policy_of

CHAT = "antiphon.chat.v1.ChatService"


class Meter:
    def ended_without_result(self, call: EndedCall) -> None:
        raise AssertionError("nothing has ended")


async def proceed(call: Any) -> None:
    return None


def test_calls_for_an_answer_are_metered_and_no_others() -> None:
    metered = {}
    for method in chat_pb2.DESCRIPTOR.services_by_name["ChatService"].methods:
        policy = policy_of(method)
        assert policy is not None
        if policy.meter:
            metered[method.name] = policy.meter
    assert metered == dict.fromkeys(("StreamChat", "Chat"), usage_pb2.SERVICE_TYPE_LLM_CHAT)


@pytest.mark.parametrize("meter", [Meter(), None])
def test_a_meter_is_told_of_metered_methods_alone(meter: Meter | None) -> None:
    methods = methods_of([Mounted("chat", {CHAT: object()}, meter=meter)])
    told = {method.path.rpartition("/")[2] for method in methods if method.meter is not None}
    assert told == (set() if meter is None else {"StreamChat", "Chat"})
    for method in methods:
        # Not even a layer of its own.
        assert (Metering().bind(method, proceed) is proceed) is (method.meter is None)
