"""Ask, and see the answer being written."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.answer import Answer, answer_for
from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import MISUSE, CommandFailed, as_dict, note, print_json
from services.cli.texts import check_image_id, check_session_id, no_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.chat.v1 import chat_pb2

    from antiphon_client import ChatOptions


def _check_image_ids(values: list[str] | None) -> list[str]:
    return [check_image_id(value) for value in values or ()]


def chat(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="What to ask; `-`, or nothing in a pipe, reads standard input; nothing on a terminal begins a conversation.",
        ),
    ] = None,
    session: Annotated[
        str,
        typer.Option(
            metavar="SESSION",
            help="Go on with a chat session.",
            show_default=False,
            callback=check_session_id,
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="Who answers, as `antiphon models` prints it.", show_default=False
        ),
    ] = "",
    system: Annotated[
        str, typer.Option(metavar="TEXT", help="Instructions for the model.", show_default=False)
    ] = "",
    project: Annotated[
        str, typer.Option(metavar="PROJECT", help="What the call is made for.", show_default=False)
    ] = "",
    image_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE",
            help="An image of yours to look at, as `antiphon image list` prints it; may be given again.",
            show_default=False,
            callback=_check_image_ids,
        ),
    ] = None,
    owner_token: Annotated[
        list[str] | None,
        typer.Option(
            "--owner-token",
            metavar="TOKEN",
            help="What goes with an image that was made without a login; one for each --image-id, in their order.",
            show_default=False,
        ),
    ] = None,
    image_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A public picture to look at; may be given again.",
            show_default=False,
        ),
    ] = None,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Print the answer when it is complete.")
    ] = False,
    usage: Annotated[
        bool, typer.Option("--usage", help="Note after each answer what it used, on standard error.")
    ] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Print how many tokens the text has, and ask nothing.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Ask a model. The answer is printed as it is written; Ctrl-C cancels it.

    Without TEXT, on a terminal: a conversation; /help lists its commands. Without a login the call is anonymous and keeps no chat
    session. With --json each event is an object on a line of its own.

    \b
    Examples:
      antiphon chat "Why is the sky blue?"
      git diff | antiphon chat --system "Review this." -
      antiphon chat --image-url https://example.org/cat.png "Which breed?"
    """
    options: ChatOptions = {
        "session_id": session,
        "model": model,
        "system_prompt": system,
        "project": project,
    }
    with calling(server, as_json) as client:
        question = _question(text or [], as_json)
        images = _images(image_id or [], owner_token or [], image_url or [])
        if images:
            options["images"] = images
        if count:
            if question is None:
                raise CommandFailed("there is nothing to count", 'antiphon chat --count "Hello"', status=2)
            asked = _with_images(question, images) if images else question
            _print_count(client.count_tokens(asked, model=model, system_prompt=system), as_json)
        elif question is None:
            if images:
                example = 'antiphon chat --image-url https://example.org/cat.png "What is this?"'
                raise CommandFailed("pictures go with a TEXT", example, status=2)
            from services.cli.conversation import converse

            converse(client, options, server, with_usage=usage)
        elif no_stream:
            _print_whole(client.chat(question, **options), answer_for(as_json, with_usage=usage), as_json)
        else:
            from services.cli.asking import ask

            if not ask(client, question, options, answer_for(as_json, with_usage=usage)):
                raise typer.Exit(130)


def _images(ids: Sequence[str], tokens: Sequence[str], addresses: Sequence[str]) -> list[chat_pb2.Image]:
    if len(tokens) > len(ids):
        raise CommandFailed(
            "--owner-token goes with an --image-id, and there are more of the former",
            "antiphon chat --image-id IMAGE --owner-token TOKEN TEXT",
            status=MISUSE,
        )
    for address in addresses:
        if not address.lower().startswith(("http://", "https://")):
            raise CommandFailed(
                f"--image-url: {address!r} is no http or https address",
                "A file can't be shown; put it where the server can fetch it, or have the image made: antiphon image generate",
                status=MISUSE,
            )
    if not (ids or addresses):
        return []
    from antiphon.chat.v1 import chat_pb2

    pairs = itertools.zip_longest(ids, tokens, fillvalue="")
    return [
        *(chat_pb2.Image(image_id=id_, owner_token=token) for id_, token in pairs),
        *(chat_pb2.Image(uri=uri) for uri in addresses),
    ]


def _with_images(question: str, images: Sequence[chat_pb2.Image]) -> list[chat_pb2.Message]:
    from antiphon.chat.v1 import chat_pb2

    parts = [*(chat_pb2.Part(image=image) for image in images), chat_pb2.Part(text=question)]
    return [chat_pb2.Message(role=chat_pb2.MESSAGE_ROLE_USER, parts=parts)]


def _question(words: Sequence[str], as_json: bool) -> str | None:
    """The text to ask; None to hold a conversation."""
    if words and list(words) != ["-"]:
        text = " ".join(words)
    elif words or not sys.stdin.isatty():
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError:
            raise no_text("standard input") from None
        except OSError as error:
            raise CommandFailed(f"standard input can't be read: {error.strerror}") from None
        if not text.strip():
            raise CommandFailed("there is nothing to ask: standard input is empty", status=2)
    elif sys.stdout.isatty() and not as_json:
        return None
    else:
        raise CommandFailed("there is nothing to ask", 'antiphon chat "Why is the sky blue?"', status=2)
    if not text.strip():
        raise CommandFailed("there is nothing to ask: the text is empty", status=2)
    return text


def _print_count(counted: chat_pb2.CountTokensResponse, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(counted))
        return
    from antiphon.usage.v1 import usage_pb2

    print(counted.input_tokens, flush=True)
    if counted.provenance == usage_pb2.PROVENANCE_ESTIMATED:
        # What is told of the error holds for nine texts of ten.
        error = f", mostly within {counted.error_percent} %" if counted.error_percent else ""
        note(f"(estimated for {counted.model}{error})")


def _print_whole(response: chat_pb2.ChatResponse, answer: Answer, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(response))
        return
    from antiphon.chat.v1 import chat_pb2

    generation = response.generation
    if generation.requested_model not in ("", generation.model):
        answer.remark(f"({generation.requested_model} did not answer; {generation.model} answers)")
    answer.show(chat_pb2.ChatEvent(text_delta=chat_pb2.TextDelta(text=generation.text)))
    for index, call in enumerate(generation.tool_calls):
        delta = chat_pb2.ToolCallDelta(index=index, name=call.name, arguments_json=call.arguments_json)
        answer.show(chat_pb2.ChatEvent(tool_call_delta=delta))
    finished = chat_pb2.Finished(reason=generation.finish_reason, usage=generation.usage)
    answer.show(chat_pb2.ChatEvent(finished=finished))
