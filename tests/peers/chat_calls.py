"""Calls of the Chat service by grpcurl, and what has to be true of every record."""

from tests.peers.grpcurl import Grpcurl, Json

CHAT = "antiphon.chat.v1.ChatService"
QUESTIONS = ("¿Cuántas órdenes pendientes hay?", "Explícame qué es una orden inbound")
# Greedy, so that the same question has the same answer.
GREEDY: Json = {"temperature": 0, "maxOutputTokens": 48}
# Without a limit such an answer goes on for minutes.
ENDLESS: Json = {"temperature": 0}


def text_of(events: list[Json]) -> str:
    return "".join(event.get("textDelta", {}).get("text", "") for event in events)


def check_record(events: list[Json], first: int = 1) -> None:
    """Numbered without a gap, `started` first, `finished` last, and nothing after it."""
    for event in events:
        assert int(event["firstSeq"]) == first
        first = int(event["seq"]) + 1
    kinds = [
        next(kind for kind in ("started", "textDelta", "usage", "finished") if kind in event)
        for event in events
    ]
    assert kinds[-1] == "finished"
    assert kinds.count("finished") == 1
    assert "started" not in kinds[1:]


def stream(grpcurl: Grpcurl, request: Json, method: str = "StreamChat") -> list[Json]:
    """The events of a call that has to end well."""
    with grpcurl.stream(f"{CHAT}/{method}", request) as call:
        events = [message["event"] for message in call]
    assert call.failure is None, call.failure
    return events


def amounts(usage: Json) -> dict[str, int]:
    return {each["unit"].removeprefix("UNIT_"): int(each["amount"]) for each in usage["quantities"]}


def generation(grpcurl: Grpcurl, generation_id: str) -> Json:
    found: Json = grpcurl.call(f"{CHAT}/GetGeneration", {"generationId": generation_id})["generation"]
    return found


def messages(grpcurl: Grpcurl, session_id: str) -> list[tuple[str, str]]:
    """Role and text of each message of a session, oldest first."""
    listed = grpcurl.call(f"{CHAT}/ListMessages", {"sessionId": session_id})["messages"]
    return [
        (each["role"].removeprefix("MESSAGE_ROLE_").lower(), "".join(part["text"] for part in each["parts"]))
        for each in reversed(listed)
    ]
