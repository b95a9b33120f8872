"""A suite that is killed with -9 while it streams, and started again."""

from pathlib import Path

from tests.peers.chat_calls import (
    CHAT,
    ENDLESS,
    GREEDY,
    QUESTIONS,
    check_record,
    generation,
    messages,
    stream,
    text_of,
)
from tests.peers.grpcurl import Grpcurl
from tests.peers.llama_server import LlamaServer
from tests.peers.programs import eventually
from tests.peers.suite import running_suite


def test_the_conversation_outlives_a_killed_suite(
    llama: LlamaServer, grpcurl_program: Path, tmp_path: Path
) -> None:
    settings = {"OPENAI_BASE_URL": llama.base_url}
    hung_up = llama.hung_up()
    with running_suite(tmp_path, **settings) as suite:
        ana = Grpcurl(grpcurl_program, suite.address, token := suite.enter())
        first = stream(ana, {"message": QUESTIONS[0], "parameters": GREEDY})
        session_id = first[0]["started"]["sessionId"]
        request = {"message": QUESTIONS[1], "sessionId": session_id, "parameters": ENDLESS}
        with ana.stream(f"{CHAT}/StreamChat", request) as call:
            incoming = iter(call)
            generation_id = next(incoming)["event"]["started"]["generationId"]
            for _ in range(20):
                next(incoming)
            suite.program.kill()
            for _ in incoming:
                pass
        assert call.failure is not None
        assert call.failure.code == "UNAVAILABLE"
        seen = [message["event"] for message in call.messages]
        eventually(lambda: llama.hung_up() > hung_up, "the end of the model's stream", seconds=5)

    with running_suite(tmp_path, **settings) as suite:
        assert "password" not in suite.announced
        ana = Grpcurl(grpcurl_program, suite.address, token)
        kept = generation(ana, generation_id)
        assert (kept["state"], kept["errorReason"]) == (
            "GENERATION_STATE_INTERRUPTED",
            "GENERATION_INTERRUPTED",
        )
        # Delivered after durable: what was seen is a part of what is kept.
        assert kept["text"].startswith(text_of(seen))
        said = messages(ana, session_id)
        assert said == [
            ("user", QUESTIONS[0]),
            ("assistant", text_of(first)),
            ("user", QUESTIONS[1]),
            ("assistant", kept["text"]),
        ]

        asked = {"generationId": generation_id, "afterSeq": seen[-1]["seq"]}
        with ana.stream(f"{CHAT}/ResumeStream", asked) as resumed:
            rest = [message["event"] for message in resumed]
        assert text_of(seen) + text_of(rest) == kept["text"]
        assert resumed.failure is not None
        assert (resumed.failure.code, resumed.failure.reason) == ("ABORTED", "GENERATION_INTERRUPTED")
        assert resumed.failure.metadata == {"generation_id": generation_id}

        # The chat goes on, for whoever logs in again as well.
        again = ana.as_caller(suite.log_in())
        check_record(stream(again, {"message": QUESTIONS[0], "sessionId": session_id, "parameters": GREEDY}))
        assert messages(again, session_id)[:4] == said
