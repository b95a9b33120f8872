"""What the process makes of the operator's signals."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from services.runtime.signals import Reload, Stop


async def test_sighup_asks_for_a_reload_and_for_nothing_else() -> None:
    stop, reload = Stop(), Reload()
    # Where the tests themselves run under nohup, the signal is ignored.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        await _asks_for_a_reload_alone(stop, reload)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


async def _asks_for_a_reload_alone(stop: Stop, reload: Reload) -> None:
    with reload.by_signal(stop):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            await reload.requested.wait()
    assert not stop.requested.is_set()


async def test_where_there_is_no_sighup_nothing_is_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    reload = Reload()
    with reload.by_signal(Stop()):
        assert not reload.requested.is_set()
