"""How far somebody has heard what is spoken, and how it goes on. Decides; neither calls nor waits."""

from __future__ import annotations

import hashlib

from antiphon.speech.v1 import speech_pb2

from antiphon_client._calls import Call
from antiphon_client.errors import AntiphonError, BrokenRecord, Unreachable


class SpeechReader:
    """Takes each event once and in order, whatever calls it comes from: each call sends them from the beginning, and those that are known are
    passed over.

    A call that comes when the first one has failed has the text spoken anew, as another conversion. Where that sounds the same, byte by
    byte, it goes on; where it does not, or another model or voice has come in between, nobody can go on hearing it.
    """

    def __init__(
        self, call: Call[speech_pb2.StreamSynthesizeRequest, speech_pb2.StreamSynthesizeResponse]
    ) -> None:
        self._call = call
        # How the two are interleaved is no promise.
        self._tracks = {"audio": _Track(), "word": _Track()}
        self._is_another = False
        self.started: speech_pb2.SpeechStarted | None = None
        self.finished: speech_pb2.SpeechFinished | None = None
        self.seconds = 0.0
        self.ended = False

    def next_call(self) -> Call[speech_pb2.StreamSynthesizeRequest, speech_pb2.StreamSynthesizeResponse]:
        """The call again."""
        for track in self._tracks.values():
            track.rewind()
        return self._call

    def take(
        self, response: speech_pb2.StreamSynthesizeResponse
    ) -> speech_pb2.StreamSynthesizeResponse | None:
        """The response, if it is new. Raises BrokenRecord when what came before it is not what had come, and as soon as somebody else begins to
        speak."""
        kind = response.WhichOneof("event")
        if kind == "started":
            before = self.started
            if before is not None and _speaker(before) != _speaker(response.started):
                raise _spoken_by_another(before, response.started)
            self.started = response.started
            is_new = before is None
            self._is_another = before is not None and before.conversion_id != response.started.conversion_id
        elif kind == "finished":
            if not all(track.is_whole for track in self._tracks.values()):
                raise _spoken_otherwise()
            self.finished = response.finished
            is_new = self.ended = True
        else:
            # What this client does not know nobody can hear twice.
            is_new = kind in self._tracks and self._tracks[kind].takes(response, compare=self._is_another)
        if is_new and kind == "audio":
            end = response.audio.offset.ToNanoseconds() + response.audio.duration.ToNanoseconds()
            self.seconds = end / 1e9
        return response if is_new else None

    def cut_short(self) -> None:
        """Told that a call has ended well. Raises Unreachable when `finished` has not come."""
        if not self.ended:
            raise Unreachable("the stream ended before the speech did")

    def give_up(self, failure: AntiphonError) -> bool:
        """Whether it is spoken otherwise now, or the provider failed; every failure notes how much was heard, for whoever is told of it."""
        if self.seconds:
            failure.add_note(f"The speech broke off after {self.seconds:.1f} s of audio.")
        return isinstance(failure, BrokenRecord) or failure.reason.startswith(self._call.method.final)


class _Track:
    """Events of one kind: how many are known, how many of them have come again, and the digests of both."""

    def __init__(self) -> None:
        self._known = self._arrived = 0
        self._digest, self._digest_again = hashlib.sha256(), hashlib.sha256()

    @property
    def is_whole(self) -> bool:
        return self._arrived >= self._known

    def rewind(self) -> None:
        self._arrived, self._digest_again = 0, hashlib.sha256()

    def takes(self, event: speech_pb2.StreamSynthesizeResponse, *, compare: bool) -> bool:
        # The same conversion is sent as it is stored, once it is, and then its first piece may have a header that tells the length.
        told = event.SerializeToString(deterministic=True)
        self._digest_again.update(b"%d " % len(told) + told)
        self._arrived += 1
        at_its_end = self._arrived == self._known
        if at_its_end and compare and self._digest_again.digest() != self._digest.digest():
            raise _spoken_otherwise()
        if self._arrived <= self._known:
            return False
        self._known, self._digest = self._arrived, self._digest_again.copy()
        return True


def _spoken_otherwise() -> BrokenRecord:
    return BrokenRecord("the text was spoken anew, and sounds otherwise than what has been heard of it")


def _speaker(started: speech_pb2.SpeechStarted) -> tuple[str, str]:
    return started.model, started.voice


def _spoken_by_another(before: speech_pb2.SpeechStarted, now: speech_pb2.SpeechStarted) -> BrokenRecord:
    first, second = (f"{each.model} ({each.voice})" for each in (before, now))
    return BrokenRecord(f"the text was begun by {first}, and is spoken anew by {second}")


class SpeechView:
    """What a stream of speech tells of itself, beside the events; `SpeechStream` and `AsyncSpeechStream` share it."""

    def __init__(self, reader: SpeechReader) -> None:
        self._reader = reader

    @property
    def started(self) -> speech_pb2.SpeechStarted | None:
        """How it is spoken, once that has come: of the last call that was made, when the first one broke off."""
        return self._reader.started

    @property
    def finished(self) -> speech_pb2.SpeechFinished | None:
        """The totals, and the conversion that is stored, once they have come."""
        return self._reader.finished

    @property
    def seconds(self) -> float:
        """How much audio has come."""
        return self._reader.seconds
