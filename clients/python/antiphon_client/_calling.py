"""How the verbs of the synchronous client call: once, or page by page. `_async_calling.py` mirrors it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from antiphon_client import _calls
from antiphon_client._options import Timeouts
from antiphon_client._sync import Transport


class Calling:
    """What every group of verbs needs."""

    _timeouts: Timeouts
    _transport: Transport

    def _unary(self, call: _calls.Call[_calls.Req, _calls.Res], timeout: float | None) -> _calls.Res:
        return self._transport.unary(call, self._timeouts.unary if timeout is None else timeout)

    def _pages(
        self, method: _calls.Method[_calls.Req, _calls.Res], request: _calls.Req, timeout: float | None
    ) -> Iterator[_calls.Res]:
        # Every list of the contract pages by the same names, which no type of protobuf's says.
        paged: Any = request
        while True:
            page: Any = self._unary(_calls.call(method, request), timeout)
            yield page
            if not page.next_page_token:
                return
            paged.page_token, paged.skip = page.next_page_token, 0
