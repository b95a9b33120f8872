"""How far a file has been downloaded, and whether it is whole. Decides; neither calls nor waits."""

from __future__ import annotations

import hashlib

from antiphon.image.v1 import image_pb2
from antiphon.speech.v1 import speech_pb2

from antiphon_client import _calls
from antiphon_client.errors import AntiphonError, BrokenDownload, Unreachable

DownloadCall = (
    _calls.Call[image_pb2.DownloadImageRequest, image_pb2.DownloadImageResponse]
    | _calls.Call[speech_pb2.DownloadAudioRequest, speech_pb2.DownloadAudioResponse]
)
Piece = image_pb2.DownloadImageResponse | speech_pb2.DownloadAudioResponse


class DownloadReader:
    """Takes each byte of a file once and in order, whatever calls it comes from: each call brings the same bytes from the beginning, and those
    that are known are passed over. The digest at the end is that of all that was taken. `name` says what the file is of.
    """

    def __init__(self, call: DownloadCall, name: str) -> None:
        self._call = call
        self._name = name
        self._digest = hashlib.sha256()
        self._arrived = 0
        self.size = 0
        self.content_type = ""
        self.total_bytes = 0
        self.sha256 = ""
        self.ended = False

    def next_call(self) -> DownloadCall:
        """The call again."""
        self._arrived = 0
        return self._call

    def take(self, response: Piece) -> bytes | None:
        """The bytes of a response that are new. Raises BrokenDownload when they are more than were announced, or the digest is another one."""
        self.content_type = self.content_type or response.content_type
        self.total_bytes = self.total_bytes or response.total_bytes
        new = response.chunk[max(0, self.size - self._arrived) :]
        self._arrived += len(response.chunk)
        self._digest.update(new)
        self.size += len(new)
        if self._arrived > self.total_bytes or response.total_bytes not in (0, self.total_bytes):
            raise self._of_another_length()
        if response.sha256:
            self._finish(response.sha256)
        return new or None

    def cut_short(self) -> None:
        """Told that a call has ended well. Raises Unreachable when the digest has not come."""
        if not self.ended:
            raise Unreachable("the stream ended before the file did")

    def give_up(self, failure: AntiphonError) -> bool:
        """Whether what was given out is known to be wrong. Every other failure notes how much has come, for whoever is told of it."""
        if isinstance(failure, BrokenDownload):
            return True
        if self.size:
            failure.add_note(f"The download broke off after {self.size} of {self.total_bytes} bytes.")
        return False

    def _finish(self, sha256: str) -> None:
        if self._arrived != self.total_bytes:
            raise self._of_another_length()
        if sha256 != self._digest.hexdigest():
            raise self._broken("its SHA-256 is not the one that the server tells")
        self.sha256 = sha256
        self.ended = True

    def _of_another_length(self) -> BrokenDownload:
        return self._broken(f"it is not the {self.total_bytes} bytes that were announced")

    def _broken(self, how: str) -> BrokenDownload:
        return BrokenDownload(f"the download of {self._name} is broken: {how}")


class DownloadView:
    """What a download tells of itself, beside the bytes; `Download` and `AsyncDownload` share it."""

    def __init__(self, reader: DownloadReader) -> None:
        self._reader = reader

    @property
    def content_type(self) -> str:
        """Such as `image/png`; empty until the first bytes have come."""
        return self._reader.content_type

    @property
    def total_bytes(self) -> int:
        """How many bytes it has; 0 until the first ones have come."""
        return self._reader.total_bytes

    @property
    def sha256(self) -> str:
        """The digest of the whole, in lower-case hexadecimal digits, once it has come and was found right; empty before."""
        return self._reader.sha256
