"""Speech while it is made: where it goes, and what is said meanwhile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from services.cli.output import note
from services.cli.speech_players import Playing
from services.cli.speech_spool import Spool
from services.cli.waiting import Waiting

if TYPE_CHECKING:
    from antiphon.speech.v1 import speech_pb2

    from antiphon_client import Client, Reconnect, SpeechOptions, SpeechStream

_MAY_BE_KEPT = "(stopped; if all of it had been spoken by then it may be kept: with a login `antiphon speech list` shows it)"


def listen(
    client: Client, text: str, options: SpeechOptions, spool: Spool, playing: Playing | None
) -> speech_pb2.Conversion:
    """The conversion that has finished. What is heard of it until then goes into the spool, and to whoever plays it."""
    heard = False
    try:
        with Waiting("asking the server") as waiting:
            stream = client.stream_synthesize(
                text, on_reconnect=lambda reconnect: _say_why(reconnect, stream, waiting), **options
            )
            with stream:
                for event in stream:
                    if event.HasField("started"):
                        waiting.say("waiting for its turn")
                    if not event.HasField("audio"):
                        continue
                    heard = True
                    spool.write(event.audio.data)
                    waiting.say(f"speaking, {stream.seconds:.1f} s of audio")
                    if playing is not None:
                        playing.begin()
    except KeyboardInterrupt:
        # Whether anything was to follow what was heard last nobody here knows.
        note(_MAY_BE_KEPT if heard else "(stopped before anything was spoken; nothing was kept)")
        raise
    spool.end()
    assert stream.finished is not None
    return stream.finished.conversion


def _say_why(reconnect: Reconnect, stream: SpeechStream, waiting: Waiting) -> None:
    """Says once why nothing comes for a while. Before it is begun nothing is lost: it is asked for again, or the command fails soon."""
    from antiphon_client.errors import ResourceExhausted

    if reconnect.attempt > 1:
        return
    if isinstance(reconnect.failure, ResourceExhausted):
        pause = max(1, math.ceil(reconnect.pause))
        waiting.remark(f"a limit of the server is reached; waiting {pause} s for it")
    elif stream.started is None:
        return
    elif reconnect.failure.reason:
        waiting.remark("the server broke off; asking again")
    else:
        waiting.remark("the connection was lost; asking again")
