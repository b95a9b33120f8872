"""People who call."""

from __future__ import annotations

import secrets

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

ADMINISTRATOR = "admin@antiphon.local"
"""Whom the first start makes."""


async def people(address: str, count: int) -> list[str]:
    """Access tokens of so many new people."""
    tokens = []
    async with grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        for number in range(count):
            email, password = f"person{number}@example.com", secrets.token_urlsafe(16)
            await auth.Register(auth_pb2.RegisterRequest(email=email, password=password), timeout=20)
            tokens.append(await log_in(address, email, password))
    return tokens


async def log_in(address: str, email: str, password: str) -> str:
    """An access token."""
    async with grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        answer = await auth.Login(auth_pb2.LoginRequest(email=email, password=password), timeout=20)
    return str(answer.access_token)
