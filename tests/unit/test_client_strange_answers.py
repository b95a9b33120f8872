"""What comes from a server, or from something in its place, that the contract does not have: the client's errors tell of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from antiphon.errors.v1 import error_reason_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from antiphon_client import AsyncClient, Client, Retries
from antiphon_client.errors import AntiphonError, NotFound, ServerError

NO_FIELD = b"\xff"
QUICK = Retries(attempts=2, resume_attempts=2, first_delay=0.001, max_delay=0.01)


class StrangeServer(grpc.GenericRpcHandler):
    """Answers every call with the same bytes, or with none, and ends it as it is told to."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.code, self.message = grpc.StatusCode.OK, ""
        self.trailers: tuple[tuple[str, bytes], ...] = ()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Of any method. What a single response looks like is a stream of one, or of none."""
        return grpc.unary_stream_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from self.answers
        context.set_trailing_metadata(self.trailers)
        context.set_code(self.code)
        context.set_details(self.message)


@pytest.fixture
def strange() -> StrangeServer:
    return StrangeServer()


@pytest.fixture
def address(strange: StrangeServer) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((strange,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.mark.parametrize("answers", [[], [NO_FIELD]], ids=["nothing", "no message"])
async def test_a_response_that_is_none_is_an_error(
    strange: StrangeServer, address: str, answers: list[bytes]
) -> None:
    strange.answers = answers
    with Client(address, retries=QUICK) as client:
        for call in (client.profile, lambda: client.login("ana@example.com", "correct horse")):
            with pytest.raises(ServerError):
                call()
    async with AsyncClient(address, retries=QUICK) as peer:
        for awaited in (peer.profile(), peer.login("ana@example.com", "correct horse")):
            with pytest.raises(ServerError, match="a response is no message"):
                await awaited


async def test_so_is_one_within_a_stream(strange: StrangeServer, address: str) -> None:
    strange.answers = [NO_FIELD]
    with Client(address, retries=QUICK) as client, pytest.raises(ServerError):
        list(client.stream("Hi"))
    async with AsyncClient(address, retries=QUICK) as peer:
        with pytest.raises(ServerError, match="a response is no message"):
            async for _ in peer.stream("Hi"):
                pass


def details(code: grpc.StatusCode, message: str, reason: str) -> bytes:
    packed = AnyMessage()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="antiphon", metadata={"id": "7"}))
    return status_pb2.Status(code=code.value[0], message=message, details=[packed]).SerializeToString()


def met(address: str) -> AntiphonError:
    with Client(address, retries=QUICK) as client, pytest.raises(AntiphonError) as caught:
        client.profile()
    return caught.value


def test_details_count_whatever_their_message_says(strange: StrangeServer, address: str) -> None:
    strange.code, strange.message = grpc.StatusCode.NOT_FOUND, "shortened…"
    told = details(strange.code, "not shortened at all", "NOT_FOUND")
    strange.trailers = (("grpc-status-details-bin", told),)
    failure = met(address)
    assert isinstance(failure, NotFound)
    assert (failure.message, failure.reason, failure.metadata) == ("shortened…", "NOT_FOUND", {"id": "7"})
    assert failure.error_reason == error_reason_pb2.ERROR_REASON_NOT_FOUND


def test_details_of_another_code_do_not(strange: StrangeServer, address: str) -> None:
    strange.code = grpc.StatusCode.PERMISSION_DENIED
    told = details(grpc.StatusCode.NOT_FOUND, "absent", "NOT_FOUND")
    strange.trailers = (("grpc-status-details-bin", told),)
    failure = met(address)
    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "")
    assert failure.error_reason == error_reason_pb2.ERROR_REASON_UNSPECIFIED


def test_details_that_are_none_leave_the_code(strange: StrangeServer, address: str) -> None:
    strange.code = grpc.StatusCode.NOT_FOUND
    info = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=NO_FIELD)
    broken = status_pb2.Status(code=strange.code.value[0], details=[info]).SerializeToString()
    for told in (NO_FIELD, broken):
        strange.trailers = (("grpc-status-details-bin", told),)
        failure = met(address)
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "")


def test_a_reason_that_is_not_known_here_has_no_value() -> None:
    for reason in ("", "LATER_THAN_THESE_STUBS"):
        assert AntiphonError("x", reason=reason).error_reason == error_reason_pb2.ERROR_REASON_UNSPECIFIED
