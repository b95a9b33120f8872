"""Texts become scripts: plain ones and SSML are cut into segments, each spoken in one go; needs the standard library alone."""

from services.speech.text.characters import is_spoken
from services.speech.text.documents import position_in_text
from services.speech.text.scripts import grouped, script_of
from services.speech.text.ssml import language_of, script_of_ssml

__all__ = ["grouped", "is_spoken", "language_of", "position_in_text", "script_of", "script_of_ssml"]
