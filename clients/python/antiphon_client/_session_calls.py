"""The RPCs about chat sessions and their messages as values."""

from __future__ import annotations

from antiphon.chat.v1 import chat_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from antiphon_client._calls import Call, call, method_of, new_request_id

_CHAT = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]

CREATE_SESSION = method_of(
    _CHAT, "CreateSession", chat_pb2.CreateSessionRequest, chat_pb2.CreateSessionResponse
)
GET_SESSION = method_of(_CHAT, "GetSession", chat_pb2.GetSessionRequest, chat_pb2.GetSessionResponse)
LIST_SESSIONS = method_of(_CHAT, "ListSessions", chat_pb2.ListSessionsRequest, chat_pb2.ListSessionsResponse)
UPDATE_SESSION = method_of(
    _CHAT, "UpdateSession", chat_pb2.UpdateSessionRequest, chat_pb2.UpdateSessionResponse
)
DELETE_SESSION = method_of(
    _CHAT, "DeleteSession", chat_pb2.DeleteSessionRequest, chat_pb2.DeleteSessionResponse
)
FORK_SESSION = method_of(_CHAT, "ForkSession", chat_pb2.ForkSessionRequest, chat_pb2.ForkSessionResponse)
CREATE_MESSAGE = method_of(
    _CHAT, "CreateMessage", chat_pb2.CreateMessageRequest, chat_pb2.CreateMessageResponse
)
GET_MESSAGE = method_of(_CHAT, "GetMessage", chat_pb2.GetMessageRequest, chat_pb2.GetMessageResponse)
LIST_MESSAGES = method_of(_CHAT, "ListMessages", chat_pb2.ListMessagesRequest, chat_pb2.ListMessagesResponse)
SEARCH_MESSAGES = method_of(
    _CHAT, "SearchMessages", chat_pb2.SearchMessagesRequest, chat_pb2.SearchMessagesResponse
)


def create_session(
    title: str, project: str, model: str, system_prompt: str, request_id: str
) -> Call[chat_pb2.CreateSessionRequest, chat_pb2.CreateSessionResponse]:
    """CreateSession, safe to repeat."""
    request_id = request_id or new_request_id()
    request = chat_pb2.CreateSessionRequest(
        request_id=request_id, title=title, project=project, model=model, system_prompt=system_prompt
    )
    return call(CREATE_SESSION, request, request_id)


def update_session(
    session_id: str,
    title: str | None,
    project: str | None,
    model: str | None,
    system_prompt: str | None,
    archived: bool | None,
) -> Call[chat_pb2.UpdateSessionRequest, chat_pb2.UpdateSessionResponse]:
    """UpdateSession of what is not None."""
    given = {
        "title": title,
        "project": project,
        "model": model,
        "system_prompt": system_prompt,
        "archived": archived,
    }
    session = chat_pb2.Session(
        session_id=session_id,
        title=title,
        project=project,
        model=model,
        system_prompt=system_prompt,
        archived=archived,
    )
    mask = FieldMask(paths=[name for name, value in given.items() if value is not None])
    return call(UPDATE_SESSION, chat_pb2.UpdateSessionRequest(session=session, update_mask=mask))


def fork_session(
    session_id: str, message_id: str, title: str, request_id: str
) -> Call[chat_pb2.ForkSessionRequest, chat_pb2.ForkSessionResponse]:
    """ForkSession, safe to repeat."""
    request_id = request_id or new_request_id()
    request = chat_pb2.ForkSessionRequest(
        request_id=request_id, session_id=session_id, message_id=message_id, title=title
    )
    return call(FORK_SESSION, request, request_id)


def create_message(
    session_id: str, message: str | chat_pb2.Message, request_id: str
) -> Call[chat_pb2.CreateMessageRequest, chat_pb2.CreateMessageResponse]:
    """CreateMessage, safe to repeat; a text is a message of a person."""
    request_id = request_id or new_request_id()
    if isinstance(message, str):
        parts = [chat_pb2.Part(text=message)]
        message = chat_pb2.Message(role=chat_pb2.MESSAGE_ROLE_USER, parts=parts)
    request = chat_pb2.CreateMessageRequest(request_id=request_id, session_id=session_id, message=message)
    return call(CREATE_MESSAGE, request, request_id)
