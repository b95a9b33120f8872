"""Methods by their names, messages as proto3 JSON, and streams of them."""

from __future__ import annotations

from typing import Any

from antiphon.analytics.v1 import analytics_pb2
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.chat.v1 import chat_pb2
from antiphon.image.v1 import image_pb2
from antiphon.speech.v1 import speech_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from antiphon_client import _calls
from antiphon_client.errors import AntiphonError

Json = Any

_FILES = (analytics_pb2, api_key_pb2, auth_pb2, chat_pb2, image_pb2, speech_pb2)
_SERVICES: dict[str, ServiceDescriptor] = {
    service.full_name: service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()
}


def call_of(method: str, request: Json) -> _calls.Call[Any, Any]:
    """A call of a method such as `antiphon.chat.v1.ChatService/Chat`. Raises KeyError and ValueError for what is none."""
    service_name, _, name = method.partition("/")
    service = _SERVICES[service_name]
    descriptor = service.methods_by_name[name]
    message = message_factory.GetMessageClass(descriptor.input_type)()
    json_format.ParseDict(request, message)
    request_id = request.get("request_id", request.get("requestId"))
    if request_id is None:
        request_id = _calls.new_request_id()
        if "request_id" in descriptor.input_type.fields_by_name:
            # Every message that has the field has it as a text.
            message.request_id = request_id  # type: ignore[attr-defined]
    response = message_factory.GetMessageClass(descriptor.output_type)
    return _calls.call(_calls.method_of(service, name, type(message), response), message, request_id)


class MessageReader:
    """The messages of a stream as they come. It is begun again as any other call is until the first has come; what follows is not known then."""

    def __init__(self, call: _calls.Call[Any, Any]) -> None:
        self._call = call
        self._begun = False
        self.ended = False

    def next_call(self) -> _calls.Call[Any, Any]:
        """The call."""
        return self._call

    def take(self, response: Message) -> Message:
        """All of it."""
        self._begun = True
        return response

    def cut_short(self) -> None:
        """The stream has ended."""
        self.ended = True

    def give_up(self, failure: AntiphonError) -> bool:
        """Whether a message has come, or nothing protects the call from being done twice, or a provider was asked in vain."""
        return self._begun or not self._call.repeatable or failure.reason.startswith(self._call.method.final)


def json_of(message: Message) -> Json:
    """The message as proto3 JSON."""
    return json_format.MessageToDict(message)
