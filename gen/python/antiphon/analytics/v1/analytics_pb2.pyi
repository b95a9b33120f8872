import datetime

from antiphon.options.v1 import policy_pb2 as _policy_pb2
from antiphon.usage.v1 import usage_pb2 as _usage_pb2
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

class Bucket(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUCKET_UNSPECIFIED: _ClassVar[Bucket]
    BUCKET_MINUTE: _ClassVar[Bucket]
    BUCKET_QUARTER_HOUR: _ClassVar[Bucket]
    BUCKET_HOUR: _ClassVar[Bucket]
    BUCKET_DAY: _ClassVar[Bucket]
    BUCKET_WEEK: _ClassVar[Bucket]
    BUCKET_MONTH: _ClassVar[Bucket]

class Dimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIMENSION_UNSPECIFIED: _ClassVar[Dimension]
    DIMENSION_SERVICE_TYPE: _ClassVar[Dimension]
    DIMENSION_OPERATION: _ClassVar[Dimension]
    DIMENSION_MODEL: _ClassVar[Dimension]
    DIMENSION_PROVIDER: _ClassVar[Dimension]
    DIMENSION_PROJECT: _ClassVar[Dimension]
    DIMENSION_STATUS: _ClassVar[Dimension]
    DIMENSION_ERROR_REASON: _ClassVar[Dimension]
    DIMENSION_USER: _ClassVar[Dimension]
    DIMENSION_API_KEY: _ClassVar[Dimension]
    DIMENSION_VARIANT: _ClassVar[Dimension]
    DIMENSION_PROVENANCE: _ClassVar[Dimension]

class ExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_FORMAT_UNSPECIFIED: _ClassVar[ExportFormat]
    EXPORT_FORMAT_CSV: _ClassVar[ExportFormat]
    EXPORT_FORMAT_JSON_LINES: _ClassVar[ExportFormat]

class UsageOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_ORDER_UNSPECIFIED: _ClassVar[UsageOrder]
    USAGE_ORDER_EVENTS: _ClassVar[UsageOrder]
    USAGE_ORDER_COST: _ClassVar[UsageOrder]

class PriceSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRICE_SOURCE_UNSPECIFIED: _ClassVar[PriceSource]
    PRICE_SOURCE_CATALOG: _ClassVar[PriceSource]
    PRICE_SOURCE_ADMINISTRATOR: _ClassVar[PriceSource]
BUCKET_UNSPECIFIED: Bucket
BUCKET_MINUTE: Bucket
BUCKET_QUARTER_HOUR: Bucket
BUCKET_HOUR: Bucket
BUCKET_DAY: Bucket
BUCKET_WEEK: Bucket
BUCKET_MONTH: Bucket
DIMENSION_UNSPECIFIED: Dimension
DIMENSION_SERVICE_TYPE: Dimension
DIMENSION_OPERATION: Dimension
DIMENSION_MODEL: Dimension
DIMENSION_PROVIDER: Dimension
DIMENSION_PROJECT: Dimension
DIMENSION_STATUS: Dimension
DIMENSION_ERROR_REASON: Dimension
DIMENSION_USER: Dimension
DIMENSION_API_KEY: Dimension
DIMENSION_VARIANT: Dimension
DIMENSION_PROVENANCE: Dimension
EXPORT_FORMAT_UNSPECIFIED: ExportFormat
EXPORT_FORMAT_CSV: ExportFormat
EXPORT_FORMAT_JSON_LINES: ExportFormat
USAGE_ORDER_UNSPECIFIED: UsageOrder
USAGE_ORDER_EVENTS: UsageOrder
USAGE_ORDER_COST: UsageOrder
PRICE_SOURCE_UNSPECIFIED: PriceSource
PRICE_SOURCE_CATALOG: PriceSource
PRICE_SOURCE_ADMINISTRATOR: PriceSource

class Figures(_message.Message):
    __slots__ = ("event_count", "success_count", "error_count", "cancelled_count", "refused_count", "quantities", "cost_nano_usd", "unpriced_event_count", "latency", "time_to_first_token")
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    ERROR_COUNT_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUANTITIES_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    event_count: int
    success_count: int
    error_count: int
    cancelled_count: int
    refused_count: int
    quantities: _containers.RepeatedCompositeFieldContainer[_usage_pb2.Quantity]
    cost_nano_usd: int
    unpriced_event_count: int
    latency: Percentiles
    time_to_first_token: Percentiles
    def __init__(self, event_count: _Optional[int] = ..., success_count: _Optional[int] = ..., error_count: _Optional[int] = ..., cancelled_count: _Optional[int] = ..., refused_count: _Optional[int] = ..., quantities: _Optional[_Iterable[_Union[_usage_pb2.Quantity, _Mapping]]] = ..., cost_nano_usd: _Optional[int] = ..., unpriced_event_count: _Optional[int] = ..., latency: _Optional[_Union[Percentiles, _Mapping]] = ..., time_to_first_token: _Optional[_Union[Percentiles, _Mapping]] = ...) -> None: ...

class Percentiles(_message.Message):
    __slots__ = ("count", "p50", "p90", "p99")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P90_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    count: int
    p50: _duration_pb2.Duration
    p90: _duration_pb2.Duration
    p99: _duration_pb2.Duration
    def __init__(self, count: _Optional[int] = ..., p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., p90: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., p99: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TimeSpan(_message.Message):
    __slots__ = ("start_time", "end_time", "time_zone", "bucket")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    time_zone: str
    bucket: Bucket
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_zone: _Optional[str] = ..., bucket: _Optional[_Union[Bucket, str]] = ...) -> None: ...

class UsageFilter(_message.Message):
    __slots__ = ("service_types", "operations", "models", "providers", "projects", "statuses", "error_reasons", "user_ids", "api_key_ids", "variants", "refused")
    SERVICE_TYPES_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASONS_FIELD_NUMBER: _ClassVar[int]
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    API_KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    service_types: _containers.RepeatedScalarFieldContainer[_usage_pb2.ServiceType]
    operations: _containers.RepeatedScalarFieldContainer[str]
    models: _containers.RepeatedScalarFieldContainer[str]
    providers: _containers.RepeatedScalarFieldContainer[str]
    projects: _containers.RepeatedScalarFieldContainer[str]
    statuses: _containers.RepeatedScalarFieldContainer[_usage_pb2.UsageStatus]
    error_reasons: _containers.RepeatedScalarFieldContainer[str]
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    api_key_ids: _containers.RepeatedScalarFieldContainer[str]
    variants: _containers.RepeatedScalarFieldContainer[str]
    refused: bool
    def __init__(self, service_types: _Optional[_Iterable[_Union[_usage_pb2.ServiceType, str]]] = ..., operations: _Optional[_Iterable[str]] = ..., models: _Optional[_Iterable[str]] = ..., providers: _Optional[_Iterable[str]] = ..., projects: _Optional[_Iterable[str]] = ..., statuses: _Optional[_Iterable[_Union[_usage_pb2.UsageStatus, str]]] = ..., error_reasons: _Optional[_Iterable[str]] = ..., user_ids: _Optional[_Iterable[str]] = ..., api_key_ids: _Optional[_Iterable[str]] = ..., variants: _Optional[_Iterable[str]] = ..., refused: _Optional[bool] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("start_time", "end_time", "figures")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    figures: Figures
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("name", "figures")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    name: str
    figures: Figures
    def __init__(self, name: _Optional[str] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ...) -> None: ...

class RecordEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_usage_pb2.UsageEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[_usage_pb2.UsageEvent, _Mapping]]] = ...) -> None: ...

class RecordEventsResponse(_message.Message):
    __slots__ = ("accepted_count", "known_count", "rejected")
    ACCEPTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    KNOWN_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    accepted_count: int
    known_count: int
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedItem]
    def __init__(self, accepted_count: _Optional[int] = ..., known_count: _Optional[int] = ..., rejected: _Optional[_Iterable[_Union[RejectedItem, _Mapping]]] = ...) -> None: ...

class RejectedItem(_message.Message):
    __slots__ = ("index", "event_id", "violations")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    index: int
    event_id: str
    violations: _containers.RepeatedCompositeFieldContainer[FieldViolation]
    def __init__(self, index: _Optional[int] = ..., event_id: _Optional[str] = ..., violations: _Optional[_Iterable[_Union[FieldViolation, _Mapping]]] = ...) -> None: ...

class FieldViolation(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class GetUserAnalyticsRequest(_message.Message):
    __slots__ = ("user_id", "span")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    span: TimeSpan
    def __init__(self, user_id: _Optional[str] = ..., span: _Optional[_Union[TimeSpan, _Mapping]] = ...) -> None: ...

class GetUserAnalyticsResponse(_message.Message):
    __slots__ = ("user_id", "span", "totals", "services", "models", "steps")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    span: TimeSpan
    totals: Figures
    services: _containers.RepeatedCompositeFieldContainer[Share]
    models: _containers.RepeatedCompositeFieldContainer[Share]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, user_id: _Optional[str] = ..., span: _Optional[_Union[TimeSpan, _Mapping]] = ..., totals: _Optional[_Union[Figures, _Mapping]] = ..., services: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class WatchUsageRequest(_message.Message):
    __slots__ = ("user_id", "start_time", "time_zone")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    start_time: _timestamp_pb2.Timestamp
    time_zone: str
    def __init__(self, user_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_zone: _Optional[str] = ...) -> None: ...

class WatchUsageResponse(_message.Message):
    __slots__ = ("start_time", "read_time", "figures")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    READ_TIME_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    read_time: _timestamp_pb2.Timestamp
    figures: Figures
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., read_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ...) -> None: ...

class ExportEventsRequest(_message.Message):
    __slots__ = ("user_id", "all_users", "start_time", "end_time", "format", "filter")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_USERS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    all_users: bool
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    format: ExportFormat
    filter: UsageFilter
    def __init__(self, user_id: _Optional[str] = ..., all_users: _Optional[bool] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., format: _Optional[_Union[ExportFormat, str]] = ..., filter: _Optional[_Union[UsageFilter, _Mapping]] = ...) -> None: ...

class ExportEventsResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class GetServiceAnalyticsRequest(_message.Message):
    __slots__ = ("service_type", "span", "top")
    SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    service_type: _usage_pb2.ServiceType
    span: TimeSpan
    top: int
    def __init__(self, service_type: _Optional[_Union[_usage_pb2.ServiceType, str]] = ..., span: _Optional[_Union[TimeSpan, _Mapping]] = ..., top: _Optional[int] = ...) -> None: ...

class GetServiceAnalyticsResponse(_message.Message):
    __slots__ = ("service_type", "span", "totals", "top_models", "top_users", "error_reasons", "steps")
    SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    TOP_MODELS_FIELD_NUMBER: _ClassVar[int]
    TOP_USERS_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASONS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    service_type: _usage_pb2.ServiceType
    span: TimeSpan
    totals: Figures
    top_models: _containers.RepeatedCompositeFieldContainer[Share]
    top_users: _containers.RepeatedCompositeFieldContainer[Share]
    error_reasons: _containers.RepeatedCompositeFieldContainer[Share]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, service_type: _Optional[_Union[_usage_pb2.ServiceType, str]] = ..., span: _Optional[_Union[TimeSpan, _Mapping]] = ..., totals: _Optional[_Union[Figures, _Mapping]] = ..., top_models: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., top_users: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., error_reasons: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class GetSystemAnalyticsRequest(_message.Message):
    __slots__ = ("span", "top")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    span: TimeSpan
    top: int
    def __init__(self, span: _Optional[_Union[TimeSpan, _Mapping]] = ..., top: _Optional[int] = ...) -> None: ...

class GetSystemAnalyticsResponse(_message.Message):
    __slots__ = ("span", "totals", "services", "top_models", "top_users", "user_count", "rejected_event_count", "steps")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    TOP_MODELS_FIELD_NUMBER: _ClassVar[int]
    TOP_USERS_FIELD_NUMBER: _ClassVar[int]
    USER_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    span: TimeSpan
    totals: Figures
    services: _containers.RepeatedCompositeFieldContainer[Share]
    top_models: _containers.RepeatedCompositeFieldContainer[Share]
    top_users: _containers.RepeatedCompositeFieldContainer[Share]
    user_count: int
    rejected_event_count: int
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, span: _Optional[_Union[TimeSpan, _Mapping]] = ..., totals: _Optional[_Union[Figures, _Mapping]] = ..., services: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., top_models: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., top_users: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., user_count: _Optional[int] = ..., rejected_event_count: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class GetUsageRequest(_message.Message):
    __slots__ = ("span", "filter")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    span: TimeSpan
    filter: UsageFilter
    def __init__(self, span: _Optional[_Union[TimeSpan, _Mapping]] = ..., filter: _Optional[_Union[UsageFilter, _Mapping]] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("span", "totals", "services", "steps")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    span: TimeSpan
    totals: Figures
    services: _containers.RepeatedCompositeFieldContainer[Share]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, span: _Optional[_Union[TimeSpan, _Mapping]] = ..., totals: _Optional[_Union[Figures, _Mapping]] = ..., services: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class QueryUsageRequest(_message.Message):
    __slots__ = ("span", "group_by", "filter", "order", "limit")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    span: TimeSpan
    group_by: _containers.RepeatedScalarFieldContainer[Dimension]
    filter: UsageFilter
    order: UsageOrder
    limit: int
    def __init__(self, span: _Optional[_Union[TimeSpan, _Mapping]] = ..., group_by: _Optional[_Iterable[_Union[Dimension, str]]] = ..., filter: _Optional[_Union[UsageFilter, _Mapping]] = ..., order: _Optional[_Union[UsageOrder, str]] = ..., limit: _Optional[int] = ...) -> None: ...

class QueryUsageResponse(_message.Message):
    __slots__ = ("span", "totals", "groups", "more_groups")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    MORE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    span: TimeSpan
    totals: Figures
    groups: _containers.RepeatedCompositeFieldContainer[UsageGroup]
    more_groups: bool
    def __init__(self, span: _Optional[_Union[TimeSpan, _Mapping]] = ..., totals: _Optional[_Union[Figures, _Mapping]] = ..., groups: _Optional[_Iterable[_Union[UsageGroup, _Mapping]]] = ..., more_groups: _Optional[bool] = ...) -> None: ...

class UsageGroup(_message.Message):
    __slots__ = ("values", "figures", "steps")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    figures: Figures
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, values: _Optional[_Iterable[str]] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ("start_time", "end_time", "service_types", "repair")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TYPES_FIELD_NUMBER: _ClassVar[int]
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    service_types: _containers.RepeatedScalarFieldContainer[_usage_pb2.ServiceType]
    repair: bool
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., service_types: _Optional[_Iterable[_Union[_usage_pb2.ServiceType, str]]] = ..., repair: _Optional[bool] = ...) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ("start_time", "end_time", "services")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    services: _containers.RepeatedCompositeFieldContainer[ServiceBalance]
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., services: _Optional[_Iterable[_Union[ServiceBalance, _Mapping]]] = ...) -> None: ...

class ServiceBalance(_message.Message):
    __slots__ = ("service_type", "balanced", "service_event_count", "event_count", "figure_event_count", "pending_event_count", "differences", "redelivered_event_count", "rebuilt_day_count", "note")
    SERVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    BALANCED_FIELD_NUMBER: _ClassVar[int]
    SERVICE_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIGURE_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    REDELIVERED_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    REBUILT_DAY_COUNT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    service_type: _usage_pb2.ServiceType
    balanced: bool
    service_event_count: int
    event_count: int
    figure_event_count: int
    pending_event_count: int
    differences: _containers.RepeatedCompositeFieldContainer[Difference]
    redelivered_event_count: int
    rebuilt_day_count: int
    note: str
    def __init__(self, service_type: _Optional[_Union[_usage_pb2.ServiceType, str]] = ..., balanced: _Optional[bool] = ..., service_event_count: _Optional[int] = ..., event_count: _Optional[int] = ..., figure_event_count: _Optional[int] = ..., pending_event_count: _Optional[int] = ..., differences: _Optional[_Iterable[_Union[Difference, _Mapping]]] = ..., redelivered_event_count: _Optional[int] = ..., rebuilt_day_count: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class Difference(_message.Message):
    __slots__ = ("user_id", "model", "status", "service", "events", "figures")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    model: str
    status: _usage_pb2.UsageStatus
    service: Tally
    events: Tally
    figures: Tally
    def __init__(self, user_id: _Optional[str] = ..., model: _Optional[str] = ..., status: _Optional[_Union[_usage_pb2.UsageStatus, str]] = ..., service: _Optional[_Union[Tally, _Mapping]] = ..., events: _Optional[_Union[Tally, _Mapping]] = ..., figures: _Optional[_Union[Tally, _Mapping]] = ...) -> None: ...

class Tally(_message.Message):
    __slots__ = ("event_count", "quantities")
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUANTITIES_FIELD_NUMBER: _ClassVar[int]
    event_count: int
    quantities: _containers.RepeatedCompositeFieldContainer[_usage_pb2.Quantity]
    def __init__(self, event_count: _Optional[int] = ..., quantities: _Optional[_Iterable[_Union[_usage_pb2.Quantity, _Mapping]]] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("price_id", "model", "unit", "variant", "nano_usd", "effective_time", "source", "create_time")
    PRICE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    NANO_USD_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    price_id: str
    model: str
    unit: _usage_pb2.Unit
    variant: str
    nano_usd: int
    effective_time: _timestamp_pb2.Timestamp
    source: PriceSource
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, price_id: _Optional[str] = ..., model: _Optional[str] = ..., unit: _Optional[_Union[_usage_pb2.Unit, str]] = ..., variant: _Optional[str] = ..., nano_usd: _Optional[int] = ..., effective_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[_Union[PriceSource, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPricesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "skip", "model", "at_time")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AT_TIME_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    skip: int
    model: str
    at_time: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., skip: _Optional[int] = ..., model: _Optional[str] = ..., at_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPricesResponse(_message.Message):
    __slots__ = ("prices", "next_page_token")
    PRICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[Price]
    next_page_token: str
    def __init__(self, prices: _Optional[_Iterable[_Union[Price, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetPriceRequest(_message.Message):
    __slots__ = ("model", "unit", "variant", "nano_usd", "effective_time")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    NANO_USD_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    model: str
    unit: _usage_pb2.Unit
    variant: str
    nano_usd: int
    effective_time: _timestamp_pb2.Timestamp
    def __init__(self, model: _Optional[str] = ..., unit: _Optional[_Union[_usage_pb2.Unit, str]] = ..., variant: _Optional[str] = ..., nano_usd: _Optional[int] = ..., effective_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SetPriceResponse(_message.Message):
    __slots__ = ("price",)
    PRICE_FIELD_NUMBER: _ClassVar[int]
    price: Price
    def __init__(self, price: _Optional[_Union[Price, _Mapping]] = ...) -> None: ...

class ListRejectedEventsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "skip")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    skip: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., skip: _Optional[int] = ...) -> None: ...

class ListRejectedEventsResponse(_message.Message):
    __slots__ = ("rejected_events", "next_page_token")
    REJECTED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rejected_events: _containers.RepeatedCompositeFieldContainer[RejectedEvent]
    next_page_token: str
    def __init__(self, rejected_events: _Optional[_Iterable[_Union[RejectedEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RejectedEvent(_message.Message):
    __slots__ = ("rejected_event_id", "source", "event", "violations", "receive_time", "receive_count")
    REJECTED_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_COUNT_FIELD_NUMBER: _ClassVar[int]
    rejected_event_id: str
    source: str
    event: _usage_pb2.UsageEvent
    violations: _containers.RepeatedCompositeFieldContainer[FieldViolation]
    receive_time: _timestamp_pb2.Timestamp
    receive_count: int
    def __init__(self, rejected_event_id: _Optional[str] = ..., source: _Optional[str] = ..., event: _Optional[_Union[_usage_pb2.UsageEvent, _Mapping]] = ..., violations: _Optional[_Iterable[_Union[FieldViolation, _Mapping]]] = ..., receive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., receive_count: _Optional[int] = ...) -> None: ...
