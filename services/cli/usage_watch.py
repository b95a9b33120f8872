"""One's figures as they change."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import as_dict, note, print_json
from services.cli.people import Whose, find_user_id
from services.cli.usage_span import Since, Zone, span_of

if TYPE_CHECKING:
    from antiphon.analytics.v1 import analytics_pb2

    from antiphon_client import Reconnect
    from services.cli.usage_span import Span

_TO_THE_LINE_S_BEGINNING, _CLEARED = "\r", "\x1b[K"


def watch_usage(
    user: Whose = "",
    since: Since = None,
    zone: Zone = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Show what was used today as it grows, until Ctrl-C: a line that changes, or a line for each change in a pipe.

    A connection that broke is sought again for about a minute; then the command fails with the exit code 1.

    \b
    Examples:
      antiphon usage watch
      antiphon usage watch --since 1h --json
    """
    with calling(server, as_json) as client:
        span = span_of(since, None, zone)
        line = _Line(span, as_json)
        with client.watch_usage(
            user_id=find_user_id(client, user),
            start=span.start,
            time_zone=span.zone_name,
            on_reconnect=line.lost,
        ) as changes:
            try:
                for change in changes:
                    line.show(change)
            finally:
                line.leave()


class _Line:
    """Where the figures stand."""

    def __init__(self, span: Span, as_json: bool) -> None:
        self._zone = span.zone
        self._as_json = as_json
        self._drawn = not as_json and sys.stdout.isatty()
        self._open = False
        self._last: analytics_pb2.Figures | None = None
        self._lost = False

    def show(self, told: analytics_pb2.WatchUsageResponse) -> None:
        """Shows figures, unless they are the last ones again; the first ones of another connection in any case at a terminal."""
        from services.cli.figures import all_columns, one_line
        from services.cli.usage_steps import in_zone

        found_again, self._lost = self._lost, False
        if found_again and not self._drawn:
            note("(connected again)")
        if told.figures == self._last and not (found_again and self._drawn):
            return
        self._last = told.figures
        if self._as_json:
            print_json(as_dict(told))
        elif self._drawn:
            begin = in_zone(told.start_time, self._zone)
            read = in_zone(told.read_time, self._zone)
            since = f"{begin:%H:%M}" if begin.date() == read.date() else f"{begin:%Y-%m-%d %H:%M}"
            text = f"{read:%H:%M:%S}  since {since}: {one_line(told.figures)}"
            # One that is longer than the line would leave its beginning behind.
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"{_TO_THE_LINE_S_BEGINNING}{text}{_CLEARED}", end="", flush=True)
            self._open = True
        else:
            read = in_zone(told.read_time, self._zone)
            cells = (column.cell(told.figures) for column in all_columns())
            print(read.isoformat(timespec="seconds"), *cells, sep="\t", flush=True)

    def lost(self, reconnect: Reconnect) -> None:
        """Says that the connection broke, once."""
        if self._last is not None and reconnect.attempt == 1:
            self.leave()
            self._lost = True
            note("(the connection was lost; it is sought again …)")

    def leave(self) -> None:
        """Ends the line."""
        if self._open:
            self._open = False
            print(flush=True)
