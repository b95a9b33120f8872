"""The client over TLS: a server that proves itself, one that does not, and a caller that has to."""

import datetime as dt
import ipaddress
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from antiphon_client import TLS, AsyncClient, Client, Retries
from antiphon_client.errors import Unreachable

ONCE = Retries(attempts=1)


class Models(chat_pb2_grpc.ChatServiceServicer):
    def ListModels(  # noqa: N802
        self, request: chat_pb2.ListModelsRequest, context: grpc.ServicerContext
    ) -> chat_pb2.ListModelsResponse:
        return chat_pb2.ListModelsResponse(default_model="echo")


def certificate() -> tuple[bytes, bytes]:
    """A certificate for 127.0.0.1 that is its own authority, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "antiphon test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


async def test_tls_is_spoken_and_checked() -> None:
    (own, own_key), (callers, callers_key) = certificate(), certificate()
    server = grpc.server(ThreadPoolExecutor(4))
    chat_pb2_grpc.add_ChatServiceServicer_to_server(Models(), server)
    one_way = grpc.ssl_server_credentials([(own_key, own)])
    mutual = grpc.ssl_server_credentials(
        [(own_key, own)], root_certificates=callers, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", one_way)
    mutual_port = server.add_secure_port("127.0.0.1:0", mutual)
    server.start()
    try:
        with Client(f"127.0.0.1:{port}", tls=TLS(roots=own)) as client:
            assert client.list_models().default_model == "echo"
        async with AsyncClient(f"https://127.0.0.1:{port}", tls=TLS(roots=own)) as other:
            assert (await other.list_models()).default_model == "echo"
        known = TLS(roots=own, certificate=callers, key=callers_key)
        with Client(f"127.0.0.1:{mutual_port}", tls=known) as client:
            assert client.list_models().default_model == "echo"
        refused = (
            Client(f"127.0.0.1:{port}", retries=ONCE),
            Client(f"127.0.0.1:{port}", tls=TLS(roots=callers), retries=ONCE),
            Client(f"127.0.0.1:{mutual_port}", tls=TLS(roots=own), retries=ONCE),
        )
        for client in refused:
            with client, pytest.raises(Unreachable):
                client.list_models(timeout=5)
    finally:
        server.stop(0).wait()
