"""espeak-ng's C interface, as far as it is used here (speak_lib.h of version 1.52)."""

from __future__ import annotations

import ctypes

SYNCHRONOUS = 2
DONT_EXIT = 0x8000
UTF8 = 1
SSML = 0x10
END_PAUSE = 0x1000
FROM_CHARACTER = 1
RATE, PITCH, RANGE = 1, 3, 4
WORD, END = 1, 5
GO_ON, STOP = 0, 1


class Detail(ctypes.Union):
    """What an event says beside its place."""

    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    """What is at a place of the audio. `position` counts the text's characters from 1, `sample` the call's samples from 0; a list of them
    ends with one of type 0."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("detail", Detail),
    )


class VoiceEntry(ctypes.Structure):
    """A voice. `languages` are entries of a priority's byte and a text, and an empty one at the end."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))
"""Called with samples, their number, and events; gives GO_ON or STOP. What it raises is lost, so it must not raise."""


class Library(ctypes.CDLL):
    """The library, loaded anew, and out of memory again after `unload` where the system can do that.

    All that it knows of a text, a voice or a chance it keeps in global variables, some of which nothing resets but this. It takes a third
    of a millisecond.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        self.espeak_SetSynthCallback.argtypes = [Heard]
        self.espeak_SetSynthCallback.restype = None
        self.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        self.espeak_GetCurrentVoice.restype = ctypes.POINTER(VoiceEntry)
        self.espeak_ListVoices.argtypes = [ctypes.c_void_p]
        self.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(VoiceEntry))
        self.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
        self.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]

    def unload(self) -> None:
        """Nothing of it may be called any more."""
        self.espeak_Terminate()
        close = ctypes.CDLL(None).dlclose
        close.argtypes = [ctypes.c_void_p]
        close(self._handle)
