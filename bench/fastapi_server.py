"""The same call as FastAPI serves it: JSON out, its field checked by pydantic, the token verified by a dependency.

Runs in the environment of `fastapi_environment`: `python fastapi_server.py PEM`. It writes a line of log per call, as ours does.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import uvicorn  # type: ignore[import-not-found]
from fastapi import Depends, FastAPI, HTTPException  # type: ignore[import-not-found]
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer  # type: ignore[import-not-found]
from pydantic import BaseModel

PEM = Path(sys.argv[1]).read_text(encoding="ascii")
bearer = Depends(HTTPBearer())


class Session(BaseModel):
    """A chat of one person."""

    session_id: UUID
    user_id: str
    title: str


async def caller(credentials: HTTPAuthorizationCredentials = bearer) -> str:
    """Who calls."""
    try:
        claims: dict[str, Any] = jwt.decode(
            credentials.credentials, PEM, algorithms=["RS256"], issuer="bench"
        )
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return str(claims["sub"])


async def get_session(session_id: UUID, user_id: str = Depends(caller)) -> Session:
    """The caller's session."""
    return Session(session_id=session_id, user_id=user_id, title="What is an antiphon?")


def main() -> None:
    """Serve on a free port, and tell which."""
    app = FastAPI()
    app.get("/v1/sessions/{session_id}", response_model=Session)(get_session)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"ready {listener.getsockname()[1]}", flush=True)
    # Its turns are further apart than uvicorn keeps a silent connection.
    config = uvicorn.Config(app, loop="uvloop", http="httptools", timeout_keep_alive=600)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
