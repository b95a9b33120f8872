"""The same call as FastAPI serves it: JSON in and out, fields checked by pydantic, the token verified by a dependency.

Runs in the environment of `fastapi_environment`: `python fastapi_server.py PEM`. Its access log is off, ours is on.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import jwt
import uvicorn  # type: ignore[import-not-found]
from fastapi import Depends, FastAPI, HTTPException  # type: ignore[import-not-found]
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer  # type: ignore[import-not-found]
from pydantic import BaseModel, Field  # type: ignore[import-not-found]

PEM = Path(sys.argv[1]).read_text(encoding="ascii")
bearer = Depends(HTTPBearer())


class Part(BaseModel):  # type: ignore[misc]
    """A piece of a message."""

    text: str = Field(max_length=1_000_000)


class Message(BaseModel):  # type: ignore[misc]
    """A turn."""

    role: int = Field(ge=1, le=4)
    parts: list[Part]


class CountTokensRequest(BaseModel):  # type: ignore[misc]
    """What is counted."""

    model: str = Field(max_length=256)
    messages: list[Message] = Field(min_length=1)


class CountTokensResponse(BaseModel):  # type: ignore[misc]
    """The count."""

    input_tokens: int
    provenance: int
    model: str


async def caller(credentials: HTTPAuthorizationCredentials = bearer) -> str:
    """Who calls."""
    try:
        claims: dict[str, Any] = jwt.decode(credentials.credentials, PEM, algorithms=["RS256"], issuer="bench")
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return str(claims["sub"])


async def count_tokens(
    request: CountTokensRequest, user_id: str = Depends(caller)  # noqa: B008 - FastAPI's way to declare it.
) -> CountTokensResponse:
    """About how many tokens the conversation has."""
    size = sum(len(part.text) for message in request.messages for part in message.parts)
    return CountTokensResponse(input_tokens=size // 4, provenance=2, model=request.model)


def main() -> None:
    """Serve on a free port, and tell which."""
    app = FastAPI()
    app.post("/v1/count-tokens", response_model=CountTokensResponse)(count_tokens)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(f"ready {listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False)).run([listener])


if __name__ == "__main__":
    main()
