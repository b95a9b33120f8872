import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE_TYPE_UNSPECIFIED: _ClassVar[ServiceType]
    SERVICE_TYPE_LLM_CHAT: _ClassVar[ServiceType]
    SERVICE_TYPE_TEXT_TO_IMAGE: _ClassVar[ServiceType]
    SERVICE_TYPE_TEXT_TO_SPEECH: _ClassVar[ServiceType]

class UsageStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_STATUS_UNSPECIFIED: _ClassVar[UsageStatus]
    USAGE_STATUS_SUCCESS: _ClassVar[UsageStatus]
    USAGE_STATUS_ERROR: _ClassVar[UsageStatus]
    USAGE_STATUS_CANCELLED: _ClassVar[UsageStatus]

class Unit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_UNSPECIFIED: _ClassVar[Unit]
    UNIT_INPUT_TOKENS: _ClassVar[Unit]
    UNIT_CACHED_INPUT_TOKENS: _ClassVar[Unit]
    UNIT_OUTPUT_TOKENS: _ClassVar[Unit]
    UNIT_REASONING_TOKENS: _ClassVar[Unit]
    UNIT_IMAGES: _ClassVar[Unit]
    UNIT_CHARACTERS: _ClassVar[Unit]
    UNIT_AUDIO_MILLISECONDS: _ClassVar[Unit]

class Provenance(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVENANCE_UNSPECIFIED: _ClassVar[Provenance]
    PROVENANCE_REPORTED: _ClassVar[Provenance]
    PROVENANCE_ESTIMATED: _ClassVar[Provenance]
    PROVENANCE_MEASURED: _ClassVar[Provenance]
SERVICE_TYPE_UNSPECIFIED: ServiceType
SERVICE_TYPE_LLM_CHAT: ServiceType
SERVICE_TYPE_TEXT_TO_IMAGE: ServiceType
SERVICE_TYPE_TEXT_TO_SPEECH: ServiceType
USAGE_STATUS_UNSPECIFIED: UsageStatus
USAGE_STATUS_SUCCESS: UsageStatus
USAGE_STATUS_ERROR: UsageStatus
USAGE_STATUS_CANCELLED: UsageStatus
UNIT_UNSPECIFIED: Unit
UNIT_INPUT_TOKENS: Unit
UNIT_CACHED_INPUT_TOKENS: Unit
UNIT_OUTPUT_TOKENS: Unit
UNIT_REASONING_TOKENS: Unit
UNIT_IMAGES: Unit
UNIT_CHARACTERS: Unit
UNIT_AUDIO_MILLISECONDS: Unit
PROVENANCE_UNSPECIFIED: Provenance
PROVENANCE_REPORTED: Provenance
PROVENANCE_ESTIMATED: Provenance
PROVENANCE_MEASURED: Provenance

class UsageEvent(_message.Message):
    __slots__ = ("event_id", "service_type", "operation", "status", "error_reason", "user_id", "api_key_id", "session_id", "project", "model", "provider", "request_id", "start_time", "latency", "time_to_first_token", "quantities", "provenance", "variant", "refused")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUANTITIES_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    service_type: ServiceType
    operation: str
    status: UsageStatus
    error_reason: str
    user_id: str
    api_key_id: str
    session_id: str
    project: str
    model: str
    provider: str
    request_id: str
    start_time: _timestamp_pb2.Timestamp
    latency: _duration_pb2.Duration
    time_to_first_token: _duration_pb2.Duration
    quantities: _containers.RepeatedCompositeFieldContainer[Quantity]
    provenance: Provenance
    variant: str
    refused: bool
    def __init__(self, event_id: _Optional[str] = ..., service_type: _Optional[_Union[ServiceType, str]] = ..., operation: _Optional[str] = ..., status: _Optional[_Union[UsageStatus, str]] = ..., error_reason: _Optional[str] = ..., user_id: _Optional[str] = ..., api_key_id: _Optional[str] = ..., session_id: _Optional[str] = ..., project: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., request_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., time_to_first_token: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., quantities: _Optional[_Iterable[_Union[Quantity, _Mapping]]] = ..., provenance: _Optional[_Union[Provenance, str]] = ..., variant: _Optional[str] = ..., refused: _Optional[bool] = ...) -> None: ...

class Quantity(_message.Message):
    __slots__ = ("unit", "amount")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    unit: Unit
    amount: int
    def __init__(self, unit: _Optional[_Union[Unit, str]] = ..., amount: _Optional[int] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("quantities", "provenance")
    QUANTITIES_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    quantities: _containers.RepeatedCompositeFieldContainer[Quantity]
    provenance: Provenance
    def __init__(self, quantities: _Optional[_Iterable[_Union[Quantity, _Mapping]]] = ..., provenance: _Optional[_Union[Provenance, str]] = ...) -> None: ...
