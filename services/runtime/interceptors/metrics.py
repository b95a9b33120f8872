"""Counts and times every call by its method and code."""

from __future__ import annotations

import time
from typing import Any

from services.runtime.call import Call, Method, Proceed
from services.runtime.metrics import MethodMetrics, Metrics


class CallMetrics:
    """Keeps the method's counters at hand."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        counted: MethodMetrics = self._metrics.of_method(method.path)
        clock, ended = time.perf_counter, counted.ended

        async def layer(call: Call) -> Any:
            counted.in_flight += 1
            began = clock()
            try:
                return await proceed(call)
            finally:
                counted.in_flight -= 1
                ended(call.code, clock() - began, call.sent, call.received)

        return layer
