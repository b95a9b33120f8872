"""A real llama.cpp server with the tiny model, and what it says when it is asked directly."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.programs import Program, accepts_connections, clean_environment, ending, free_port
from tests.peers.tiny_model import CONTEXT_TOKENS, write_tiny_model

_START_SECONDS = 120.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class LlamaServer:
    """A running server on the loopback interface. It computes one answer at a time; other calls wait."""

    program: Program
    port: int

    @property
    def base_url(self) -> str:
        """As OPENAI_BASE_URL takes it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, question: str, **parameters: Any) -> dict[str, Any]:
        """The whole completion of a question, not streamed, with greedy decoding."""
        body = {"messages": [{"role": "user", "content": question}], "temperature": 0, **parameters}
        request = urllib.request.Request(
            f"{self.base_url}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as response:
            completion: dict[str, Any] = json.load(response)
        return completion

    def text(self, question: str, **parameters: Any) -> str:
        """The text of that completion."""
        content: str = self.answer(question, **parameters)["choices"][0]["message"]["content"]
        return content

    def calls(self) -> int:
        """How many completions it has begun to answer."""
        return self.program.output.count('"POST /v1/chat/completions ')

    def hung_up(self) -> int:
        """How many callers have closed their connection before the answer was complete."""
        return self.program.output.count("Disconnected from client")

    def crashes(self) -> int:
        """How many calls have failed inside of it."""
        return self.program.output.count("exceed context window of")


@contextlib.contextmanager
def llama_server(python: Path, folder: Path, port: int | None = None) -> Iterator[LlamaServer]:
    """A server until the end of the block, on a free port unless one is given."""
    model = folder / "tiny.gguf"
    folder.mkdir(parents=True, exist_ok=True)
    write_tiny_model(model)
    with contextlib.ExitStack() as stack:
        for attempt in range(_ATTEMPTS):
            chosen = port or free_port()
            program = stack.enter_context(ending(_start(python, model, chosen)))
            try:
                program.wait_until(lambda: accepts_connections(chosen), "llama.cpp", _START_SECONDS)  # noqa: B023
            except AssertionError:
                # Between being found free and being used the port may have been taken.
                if port or attempt + 1 == _ATTEMPTS or "address already in use" not in program.output:
                    raise
            else:
                yield LlamaServer(program, chosen)
                return


def _start(python: Path, model: Path, port: int) -> Program:
    options = {
        "model": str(model),
        "host": "127.0.0.1",
        "port": str(port),
        "n_ctx": str(CONTEXT_TOKENS),
        "n_threads": "1",
        "n_threads_batch": "1",
        # A new call waits for the running one instead of ending it.
        "interrupt_requests": "false",
    }
    words = [word for name, text in options.items() for word in (f"--{name}", text)]
    return Program([str(python), "-m", "llama_cpp.server", *words], model.parent, clean_environment())
