from antiphon.usage.v1 import usage_pb2 as _usage_pb2
from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Access(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCESS_UNSPECIFIED: _ClassVar[Access]
    ACCESS_PUBLIC: _ClassVar[Access]
    ACCESS_OPTIONAL: _ClassVar[Access]
    ACCESS_USER: _ClassVar[Access]
    ACCESS_ADMIN: _ClassVar[Access]
    ACCESS_SERVICE: _ClassVar[Access]
ACCESS_UNSPECIFIED: Access
ACCESS_PUBLIC: Access
ACCESS_OPTIONAL: Access
ACCESS_USER: Access
ACCESS_ADMIN: Access
ACCESS_SERVICE: Access
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _descriptor.FieldDescriptor

class Policy(_message.Message):
    __slots__ = ("access", "scope", "limit", "idempotent", "meter")
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    METER_FIELD_NUMBER: _ClassVar[int]
    access: Access
    scope: str
    limit: str
    idempotent: bool
    meter: _usage_pb2.ServiceType
    def __init__(self, access: _Optional[_Union[Access, str]] = ..., scope: _Optional[str] = ..., limit: _Optional[str] = ..., idempotent: _Optional[bool] = ..., meter: _Optional[_Union[_usage_pb2.ServiceType, str]] = ...) -> None: ...
