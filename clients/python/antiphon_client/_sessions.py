"""What the synchronous client does with chat sessions and their messages. `_async_sessions.py` mirrors it."""

from __future__ import annotations

from collections.abc import Iterator

from antiphon.chat.v1 import chat_pb2

from antiphon_client import _calls, _session_calls
from antiphon_client._calling import Calling


class SessionVerbs(Calling):
    """The part of a client that is about kept conversations. Those of other people are as absent: NotFound."""

    def create_session(
        self,
        *,
        title: str = "",
        project: str = "",
        model: str = "",
        system_prompt: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> chat_pb2.Session:
        """Opens an empty chat session."""
        call = _session_calls.create_session(title, project, model, system_prompt, request_id)
        return self._unary(call, timeout).session

    def get_session(self, session_id: str, *, timeout: float | None = None) -> chat_pb2.Session:
        """One of the caller's chat sessions."""
        request = chat_pb2.GetSessionRequest(session_id=session_id)
        return self._unary(_calls.call(_session_calls.GET_SESSION, request), timeout).session

    def list_sessions(
        self,
        *,
        project: str = "",
        include_archived: bool = False,
        user_id: str = "",
        page_size: int = 0,
        skip: int = 0,
        timeout: float | None = None,
    ) -> Iterator[chat_pb2.Session]:
        """The caller's chat sessions, newest first; pages are fetched as they are needed. `timeout` is for each page."""
        request = chat_pb2.ListSessionsRequest(
            page_size=page_size,
            skip=skip,
            project=project,
            include_archived=include_archived,
            user_id=user_id,
        )
        for page in self._pages(_session_calls.LIST_SESSIONS, request, timeout):
            yield from page.sessions

    def update_session(
        self,
        session_id: str,
        *,
        title: str | None = None,
        project: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        archived: bool | None = None,
        timeout: float | None = None,
    ) -> chat_pb2.Session:
        """Changes what is given of a chat session; an empty text removes it."""
        call = _session_calls.update_session(session_id, title, project, model, system_prompt, archived)
        return self._unary(call, timeout).session

    def delete_session(self, session_id: str, *, timeout: float | None = None) -> None:
        """Removes a chat session and its messages; answers that are being made in it are cancelled. NotFound from a repeated try counts as done,
        since the first one may have been."""
        request = chat_pb2.DeleteSessionRequest(session_id=session_id)
        self._unary(_calls.call(_session_calls.DELETE_SESSION, request), timeout)

    def fork_session(
        self,
        session_id: str,
        message_id: str,
        *,
        title: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> chat_pb2.Session:
        """Opens a chat session with a copy of the messages up to `message_id`, which is the last one to be copied."""
        call = _session_calls.fork_session(session_id, message_id, title, request_id)
        return self._unary(call, timeout).session

    def create_message(
        self,
        session_id: str,
        message: str | chat_pb2.Message,
        *,
        request_id: str = "",
        timeout: float | None = None,
    ) -> chat_pb2.Message:
        """Adds a message to a chat session without having it answered. A text is a message of a person."""
        call = _session_calls.create_message(session_id, message, request_id)
        return self._unary(call, timeout).message

    def get_message(self, message_id: str, *, timeout: float | None = None) -> chat_pb2.Message:
        """One message of the caller's."""
        request = chat_pb2.GetMessageRequest(message_id=message_id)
        return self._unary(_calls.call(_session_calls.GET_MESSAGE, request), timeout).message

    def list_messages(
        self, session_id: str, *, page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> Iterator[chat_pb2.Message]:
        """The messages of a chat session, newest first; pages are fetched as they are needed. `timeout` is for each page."""
        request = chat_pb2.ListMessagesRequest(session_id=session_id, page_size=page_size, skip=skip)
        for page in self._pages(_session_calls.LIST_MESSAGES, request, timeout):
            yield from page.messages

    def search_messages(
        self,
        query: str,
        *,
        session_id: str = "",
        page_size: int = 0,
        skip: int = 0,
        timeout: float | None = None,
    ) -> Iterator[chat_pb2.SearchHit]:
        """Messages that have all words of `query`, best first; of one chat session, or of all that are the caller's.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = chat_pb2.SearchMessagesRequest(
            query=query, session_id=session_id, page_size=page_size, skip=skip
        )
        for page in self._pages(_session_calls.SEARCH_MESSAGES, request, timeout):
            yield from page.hits
