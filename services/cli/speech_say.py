"""Have a text spoken: into a file, and aloud."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.file_output import Force
from services.cli.output import CommandFailed, note
from services.cli.speech_arguments import check_language, pitch_of, rate_of
from services.cli.speech_files import Output, audio_format
from services.cli.speech_listening import listen
from services.cli.speech_players import Playing, no_player
from services.cli.speech_results import keep, note_the_way, show_spoken, what_is_kept
from services.cli.speech_spool import Spool
from services.cli.speech_targets import Target
from services.cli.speech_text import text_to_speak
from services.cli.waiting import Waiting

if TYPE_CHECKING:
    from antiphon_client import SpeechOptions


def say(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT", help="What to speak; `-`, or nothing in a pipe, reads standard input."
        ),
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            "--language",
            "-l",
            metavar="TAG",
            help="Its language, such as es or en-GB; without it the voice's, or English.",
            show_default=False,
            callback=check_language,
        ),
    ] = "",
    output: Output = None,
    play: Annotated[bool, typer.Option("--play", help="Play it while it is made.")] = False,
    voice: Annotated[
        str,
        typer.Option(
            metavar="VOICE", help="Who speaks, as `antiphon speech voices` prints it.", show_default=False
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="By which model, as `antiphon speech models` prints it.", show_default=False
        ),
    ] = "",
    rate: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            help="How fast: 2 is twice as fast as by itself. `antiphon speech models` shows the ranges.",
            show_default=False,
            parser=rate_of,
        ),
    ] = 1.0,
    pitch: Annotated[
        float,
        typer.Option(
            metavar="SEMITONES",
            help="How much higher, or with a minus lower; for models that `antiphon speech models` shows a range of.",
            show_default=False,
            parser=pitch_of,
        ),
    ] = 0.0,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="[mp3|wav|ogg|flac]",
            help="The format, where no ending names it; mp3 by default.",
            show_default=False,
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Speak what is in a text file.", show_default=False),
    ] = None,
    ssml: Annotated[bool, typer.Option("--ssml", help="The text is SSML, for models that take it.")] = False,
    force: Force = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Speak a text, and write the audio to a file. Ctrl-C ends it.

    Without a file it goes into speech-ID.mp3 in this folder; with --play it is only played then, and the server keeps it.

    \b
    Examples:
      antiphon speech say "hola" -l es -o hola.mp3
      antiphon speech say --file chapter.txt --rate 1.2 --play -o chapter.ogg
    """
    with calling(server, as_json) as client:
        spoken = text_to_speak(text or [], file)
        target = Target.of(output, form, play=play, force=force, as_json=as_json)
        options: SpeechOptions = {
            "language": language,
            "voice": voice,
            "model": model,
            "speaking_rate": rate,
            "pitch": pitch,
            "audio_format": audio_format(target.form),
        }
        if ssml:
            spoken, options["ssml"] = "", spoken
        with Spool() as spool, contextlib.ExitStack() as ended:
            playing = ended.enter_context(Playing(target.player, spool)) if target.player else None
            conversion = listen(client, spoken, options, spool, playing)
            path = keep(client, conversion, spool, target, server, as_json)
            show_spoken(conversion, path, target, as_json)
            if not as_json:
                note_the_way(conversion, path, target)
            if play and playing is None:
                raise no_player(target.form, what_is_kept(conversion, path, target))
            if playing is not None:
                _hear_out(playing, conversion.duration_seconds, what_is_kept(conversion, path, target))


def _hear_out(playing: Playing, seconds: float, kept: str) -> None:
    try:
        with Waiting("playing"):
            wrong = playing.hear_out(seconds)
    except KeyboardInterrupt:
        note(kept)
        raise
    if wrong:
        raise CommandFailed(f"it could not be played to its end: {wrong}", kept, reason="PLAYER_FAILED")
