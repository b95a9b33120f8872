"""Answers of a real llama.cpp server, streamed through the suite to grpcurl and to `antiphon chat`."""

import json
import uuid
from typing import Any

import pytest

from tests.peers.chat_calls import (
    CHAT,
    ENDLESS,
    GREEDY,
    QUESTIONS,
    amounts,
    check_record,
    generation,
    messages,
    stream,
    text_of,
)
from tests.peers.grpcurl import Grpcurl
from tests.peers.llama_server import LlamaServer
from tests.peers.programs import eventually
from tests.peers.suite import Suite


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_event_by_event(grpcurl: Grpcurl, llama: LlamaServer, question: str) -> None:
    events = stream(grpcurl, {"message": question, "parameters": GREEDY})

    check_record(events)
    started, finished = events[0]["started"], events[-1]["finished"]
    assert started["model"] == "gpt-4o-mini"
    assert len(events) > 3
    answer = text_of(events)
    assert answer == llama.text(question, max_tokens=48)
    assert finished["reason"] == "FINISH_REASON_LENGTH"
    assert finished["messageId"] == started["messageId"]
    assert amounts(finished["usage"])["OUTPUT_TOKENS"] > 0
    assert amounts(finished["usage"])["INPUT_TOKENS"] > 0

    kept = generation(grpcurl, started["generationId"])
    assert (kept["state"], kept["text"]) == ("GENERATION_STATE_COMPLETED", answer)
    assert messages(grpcurl, started["sessionId"]) == [("user", question), ("assistant", answer)]
    sessions = grpcurl.call(f"{CHAT}/ListSessions", {"pageSize": 100})["sessions"]
    assert started["sessionId"] in [each["sessionId"] for each in sessions]


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_that_ends_by_itself(grpcurl: Grpcurl, llama: LlamaServer, question: str) -> None:
    events = stream(grpcurl, {"message": question, "parameters": {"temperature": 0.9, "seed": "11"}})
    check_record(events)
    assert events[-1]["finished"]["reason"] == "FINISH_REASON_STOP"
    assert text_of(events) == llama.text(question, temperature=0.9, seed=11) != ""


def test_the_address_alone_makes_the_models_of_the_catalog_ready(suite: Suite, grpcurl: Grpcurl) -> None:
    listed = grpcurl.call(f"{CHAT}/ListModels", {})["models"]
    ready = [model["name"] for model in listed if model["ready"]]
    assert ready == ["gpt-4o-mini", "gpt-4o", "echo"]
    assert "gpt-4o-mini" in suite.print_of("models")


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_command_prints_the_answer_and_keeps_the_chat(
    suite: Suite, grpcurl: Grpcurl, question: str
) -> None:
    events = [json.loads(line) for line in suite.print_of("chat", "--json", question).splitlines()]
    check_record(events)
    session_id = events[0]["started"]["sessionId"]
    assert messages(grpcurl, session_id) == [("user", question), ("assistant", text_of(events))]

    plain = suite.print_of("chat", "--session", session_id, question)
    said = messages(grpcurl, session_id)
    assert len(said) == 4
    assert plain.removesuffix("\n") == said[-1][1].removesuffix("\n")
    shown = suite.print_of("chats", "show", session_id)
    assert shown.count(question) >= 2
    assert said[1][1] in shown


def test_a_second_question_is_answered_in_the_light_of_the_first(
    grpcurl: Grpcurl, llama: LlamaServer
) -> None:
    first, second = QUESTIONS
    system = "Responde en español."
    begun = stream(grpcurl, {"message": first, "parameters": GREEDY, "systemPrompt": system})
    session_id = begun[0]["started"]["sessionId"]
    events = stream(grpcurl, {"message": second, "sessionId": session_id, "parameters": GREEDY})

    conversation = [("system", system), ("user", first), ("assistant", text_of(begun)), ("user", second)]
    direct = llama.answer(
        "", messages=[{"role": role, "content": text} for role, text in conversation], max_tokens=48
    )
    assert text_of(events) == direct["choices"][0]["message"]["content"]
    assert len(messages(grpcurl, session_id)) == 4


def test_a_whole_answer_and_a_stop_text(grpcurl: Grpcurl, llama: LlamaServer) -> None:
    whole = llama.text(QUESTIONS[0], max_tokens=48)
    answer = grpcurl.call(f"{CHAT}/Chat", {"message": QUESTIONS[0], "parameters": GREEDY})["generation"]
    assert (answer["text"], answer["finishReason"]) == (whole, "FINISH_REASON_LENGTH")

    stop = whole[10:12]
    parameters = {**GREEDY, "stop": [stop]}
    answer = grpcurl.call(f"{CHAT}/Chat", {"message": QUESTIONS[0], "parameters": parameters})["generation"]
    assert (answer["text"], answer["finishReason"]) == (whole.partition(stop)[0], "FINISH_REASON_STOP")


def test_output_tokens_are_limited(grpcurl: Grpcurl, llama: LlamaServer) -> None:
    for limit in (1, 7, 200):
        events = stream(
            grpcurl, {"message": QUESTIONS[1], "parameters": {"temperature": 0, "maxOutputTokens": limit}}
        )
        direct = llama.answer(QUESTIONS[1], max_tokens=limit)
        assert direct["usage"]["completion_tokens"] == limit
        assert text_of(events) == direct["choices"][0]["message"]["content"]
        assert events[-1]["finished"]["reason"] == "FINISH_REASON_LENGTH"


def test_the_same_request_id_replays_and_asks_no_model(grpcurl: Grpcurl, llama: LlamaServer) -> None:
    request = {"message": QUESTIONS[0], "parameters": GREEDY, "requestId": str(uuid.uuid4())}
    first = stream(grpcurl, request)
    asked = llama.calls()
    again = stream(grpcurl, request)
    assert llama.calls() == asked
    assert text_of(again) == text_of(first)
    assert again[0]["started"] == first[0]["started"]
    assert again[-1]["finished"] == first[-1]["finished"]
    with grpcurl.stream(f"{CHAT}/StreamChat", {**request, "message": QUESTIONS[1]}) as call:
        assert list(call) == []
    assert call.failure is not None
    assert (call.failure.code, call.failure.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


def test_a_record_is_resumed_from_every_position_that_was_sent(grpcurl: Grpcurl) -> None:
    events = stream(
        grpcurl, {"message": QUESTIONS[0], "parameters": {"temperature": 0, "maxOutputTokens": 12}}
    )
    generation_id = events[0]["started"]["generationId"]
    for index, event in enumerate(events[:-1]):
        request = {"generationId": generation_id, "afterSeq": event["seq"]}
        rest = stream(grpcurl, request, "ResumeStream")
        check_record(rest, int(event["seq"]) + 1)
        assert text_of(events[: index + 1]) + text_of(rest) == text_of(events)


def test_a_cancelled_answer_closes_the_stream_of_the_model(grpcurl: Grpcurl, llama: LlamaServer) -> None:
    hung_up = llama.hung_up()
    with grpcurl.stream(f"{CHAT}/StreamChat", {"message": QUESTIONS[0], "parameters": ENDLESS}) as call:
        events = iter(call)
        generation_id = next(events)["event"]["started"]["generationId"]
        for _ in range(10):
            next(events)
        assert generation(grpcurl, generation_id)["state"] == "GENERATION_STATE_RUNNING"
        ended = grpcurl.call(f"{CHAT}/CancelGeneration", {"generationId": generation_id})["generation"]
        assert ended["state"] == "GENERATION_STATE_CANCELLED"
        for _ in events:
            pass
    assert call.failure is None, call.failure
    received = [message["event"] for message in call.messages]
    check_record(received)
    assert received[-1]["finished"]["reason"] == "FINISH_REASON_CANCELLED"
    assert text_of(received) == ended["text"]
    eventually(lambda: llama.hung_up() > hung_up, "the end of the model's stream", seconds=3)
    assert llama.text("¿Sigues?", max_tokens=1)


def test_a_caller_that_goes_away_stops_the_model_if_it_said_so(grpcurl: Grpcurl, llama: LlamaServer) -> None:
    hung_up = llama.hung_up()
    request = {"message": QUESTIONS[1], "parameters": ENDLESS, "onDisconnect": "ON_DISCONNECT_STOP"}
    with grpcurl.stream(f"{CHAT}/StreamChat", request) as call:
        events = iter(call)
        started = next(events)["event"]["started"]
        for _ in range(5):
            next(events)
    eventually(lambda: llama.hung_up() > hung_up, "the end of the model's stream", seconds=3)

    def ended() -> Any:
        found = generation(grpcurl, started["generationId"])
        return found if found["state"] != "GENERATION_STATE_RUNNING" else None

    kept = eventually(ended, "the end of the generation", seconds=5)
    assert kept["state"] == "GENERATION_STATE_CANCELLED"
    seen = text_of([message["event"] for message in call.messages])
    assert kept["text"].startswith(seen)
    assert messages(grpcurl, started["sessionId"])[-1] == ("assistant", kept["text"])


def test_a_caller_that_goes_away_finds_the_whole_answer_later(grpcurl: Grpcurl, llama: LlamaServer) -> None:
    request = {"message": QUESTIONS[1], "parameters": {"temperature": 0, "maxOutputTokens": 1500}}
    with grpcurl.stream(f"{CHAT}/StreamChat", request) as call:
        events = iter(call)
        generation_id = next(events)["event"]["started"]["generationId"]
        last = [next(events)["event"] for _ in range(3)][-1]
    seen = text_of([message["event"] for message in call.messages])

    rest = stream(grpcurl, {"generationId": generation_id, "afterSeq": last["seq"]}, "ResumeStream")
    check_record(rest, int(last["seq"]) + 1)
    assert seen + text_of(rest) == llama.text(QUESTIONS[1], max_tokens=1500)
    assert generation(grpcurl, generation_id)["state"] == "GENERATION_STATE_COMPLETED"


def test_nobody_in_particular_gets_an_answer_and_a_way_back_to_it(
    grpcurl: Grpcurl, llama: LlamaServer
) -> None:
    nobody = grpcurl.as_caller("")
    events = stream(nobody, {"message": QUESTIONS[0], "parameters": GREEDY})
    check_record(events)
    started = events[0]["started"]
    assert started["sessionId"] == ""
    assert text_of(events) == llama.text(QUESTIONS[0], max_tokens=48)
    request = {"generationId": started["generationId"], "afterSeq": "1"}
    again = stream(nobody, {**request, "resumeToken": started["resumeToken"]}, "ResumeStream")
    assert text_of(again) == text_of(events)
    failure = nobody.refused(f"{CHAT}/ResumeStream", request)
    assert failure.code == "NOT_FOUND"
