"""The log: one line per event on standard error, JSON or, on a terminal, for people; secrets are struck out.

Everything that is logged, through structlog or the standard library, becomes a flat dictionary, gets the request id of the call that
is being served, and is written at once.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, NoReturn

import msgspec
import structlog

from services.kernel.request import current_or_none

_SECRETS = re.compile(
    r"(?P<bearer>[Bb]earer\s+)[\w.~+/=-]+"
    r"|(?P<key>\bak_[A-Za-z0-9]+_)[\w-]+"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s]+(?=@)"
    r"|(?P<jwt>\beyJ)[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|(?P<openai>\bsk-)[\w-]{8,}"
    r"|(?P<github>\b(?:gh[pousr]|github_pat)_)\w{8,}"
    r"|(?P<refresh>\brt_)[\w-]{20,}"
    r"|(?P<huggingface>\bhf_)\w{8,}"
    r"|(?P<word>\b[Pp]assword[\"']?\s*[=:]\s*[\"']?)[^\s\"',;]+"
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_COLORS = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}


def strike_out(text: str) -> str:
    """The text with `***` in the place of what looks like a credential. A last line of defence: nothing should log one."""
    return _SECRETS.sub(lambda match: f"{match[match.lastgroup or 0]}***", text)


class Log:
    """Where lines go. `pretty` lines are for people; `stream` is a file descriptor."""

    def __init__(self, level: str, *, pretty: bool, stream: int = 2) -> None:
        self.level = int(getattr(logging, level))
        self._pretty = pretty
        self._color = pretty and os.isatty(stream) and not os.environ.get("NO_COLOR")
        self._stream = stream
        self._second, self._prefix = -1, ""
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    def enabled(self, level: int) -> bool:
        """Whether lines of this level are written."""
        return level >= self.level

    def line(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write a line. What can't be written is lost: a log that is full must not stop a server."""
        self._write(self._bytes(time.time(), level, event, fields))

    def call_lines(self, level: str) -> Callable[[Iterable[tuple[float, dict[str, Any]]]], None]:
        """A writer of the lines of calls, many at once."""

        def write(lines: Iterable[tuple[float, dict[str, Any]]]) -> None:
            self._write(b"".join(self._bytes(when, level, "call", fields) for when, fields in lines))

        return write

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._stream, data) :]

    def _bytes(self, when: float, level: str, event: str, fields: Mapping[str, Any]) -> bytes:
        if self._pretty:
            now = dt.datetime.fromtimestamp(when, dt.UTC)
            return (
                strike_out(self._render(now, level, event, fields)).encode("utf-8", "backslashreplace")
                + b"\n"
            )
        stamp = self._stamp(when)
        try:
            data = self._encode({"time": stamp, "level": level, "event": event, **fields}) + b"\n"
        except (TypeError, ValueError, RecursionError):
            data = (
                self._encode({"time": stamp, "level": level, "event": repr(event), "fields": repr(fields)})
                + b"\n"
            )
        return strike_out(data.decode()).encode() if _may_hold_secret(data) else data

    def _stamp(self, when: float) -> str:
        """RFC 3339 with milliseconds. Lines come many a second, and all but three digits are the same for all of them."""
        second = int(when)
        if second != self._second:
            self._second = second
            self._prefix = dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{self._prefix}{int((when - second) * 1000):03}Z"

    def _render(self, now: dt.datetime, level: str, event: str, fields: Mapping[str, Any]) -> str:
        stamp = now.astimezone().strftime("%H:%M:%S")
        rest = dict(fields)
        trace = rest.pop("exception", "")
        name = rest.pop("logger", "")
        if event == "call":
            event = f"{rest.pop('method', '')} {rest.pop('code', '')} {rest.pop('ms', '')} ms"
        pairs = " ".join(f"{key}={_plain(value)}" for key, value in rest.items())
        word = f"{level:<8}"
        if self._color:
            word = f"{_COLORS.get(level, '')}{word}\x1b[0m"
            pairs = f"\x1b[2m{pairs}\x1b[0m" if pairs else ""
        text = " ".join(
            part
            for part in (stamp, word, _plain(event, quote=False), pairs, f"({name})" if name else "")
            if part
        )
        return f"{text}\n{trace.rstrip()}" if trace else text


def _may_hold_secret(data: bytes) -> bool:
    # A few searches for fixed bytes are much cheaper than the pattern.
    return (
        b"://" in data
        or b"earer" in data
        or b"ak_" in data
        or b"eyJ" in data
        or b"sk-" in data
        or b"gh" in data
        or b"git" in data
        or b"rt_" in data
        or b"hf_" in data
        or b"assword" in data
    )


def _plain(value: object, *, quote: bool = True) -> str:
    text = str(value)
    if not text.isprintable():
        text = text.encode("unicode_escape").decode()
    return f'"{text}"' if quote and (" " in text or not text) else text


class _Handler(logging.Handler):
    """What the standard library's loggers write."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        try:
            event = record.getMessage()
        except (TypeError, ValueError):
            event = str(record.msg)
        fields["logger"] = record.name
        _add_request(fields)
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        self._log.line(record.levelname.lower(), event, fields)


def _add_request(fields: MutableMapping[str, Any]) -> None:
    request = current_or_none()
    if request is not None and request.request_id:
        fields.setdefault("request_id", request.request_id)


def _structlog_processor(log: Log) -> Callable[[Any, str, MutableMapping[str, Any]], NoReturn]:
    def write(_: Any, method: str, fields: MutableMapping[str, Any]) -> NoReturn:
        error = fields.pop("exc_info", None)
        if error is True or (method == "exception" and error is None):
            error = sys.exc_info()[1]
        elif isinstance(error, tuple):
            error = error[1]
        if isinstance(error, BaseException):
            fields["exception"] = "".join(traceback.format_exception(error))
        _add_request(fields)
        level = {"exception": "error", "warn": "warning", "fatal": "critical", "msg": "info"}.get(
            method, method
        )
        log.line(level, str(fields.pop("event", "")), dict(fields))
        raise structlog.DropEvent

    return write


def set_up(level: str, format_: str) -> Log:
    """Make every logger of this process write to standard error; `format_` is auto, pretty or json. Called once, by the process."""
    log = Log(level, pretty=format_ == "pretty" or (format_ == "auto" and sys.stderr.isatty()))
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(_Handler(log))
    root.setLevel(log.level)
    # What libraries tell below a warning is about themselves.
    for name in ("grpc", "asyncio", "psycopg", "psycopg.pool", "alembic", "aiohttp", "sqlalchemy"):
        logging.getLogger(name).setLevel(max(log.level, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _structlog_processor(log)],
        wrapper_class=structlog.make_filtering_bound_logger(log.level),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    return log
