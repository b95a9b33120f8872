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

class AudioFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIO_FORMAT_UNSPECIFIED: _ClassVar[AudioFormat]
    AUDIO_FORMAT_WAV: _ClassVar[AudioFormat]
    AUDIO_FORMAT_MP3: _ClassVar[AudioFormat]
    AUDIO_FORMAT_OGG_OPUS: _ClassVar[AudioFormat]
    AUDIO_FORMAT_FLAC: _ClassVar[AudioFormat]

class VoiceGender(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VOICE_GENDER_UNSPECIFIED: _ClassVar[VoiceGender]
    VOICE_GENDER_MALE: _ClassVar[VoiceGender]
    VOICE_GENDER_FEMALE: _ClassVar[VoiceGender]
    VOICE_GENDER_NEUTRAL: _ClassVar[VoiceGender]
AUDIO_FORMAT_UNSPECIFIED: AudioFormat
AUDIO_FORMAT_WAV: AudioFormat
AUDIO_FORMAT_MP3: AudioFormat
AUDIO_FORMAT_OGG_OPUS: AudioFormat
AUDIO_FORMAT_FLAC: AudioFormat
VOICE_GENDER_UNSPECIFIED: VoiceGender
VOICE_GENDER_MALE: VoiceGender
VOICE_GENDER_FEMALE: VoiceGender
VOICE_GENDER_NEUTRAL: VoiceGender

class Conversion(_message.Message):
    __slots__ = ("conversion_id", "user_id", "text", "ssml", "audio_url", "model", "voice", "language", "duration_seconds", "file_size_bytes", "s3_key", "s3_bucket", "create_time", "metadata", "owner_token", "format", "sample_rate_hertz", "speaking_rate", "pitch", "character_count", "sha256")
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SSML_FIELD_NUMBER: _ClassVar[int]
    AUDIO_URL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FILE_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    S3_KEY_FIELD_NUMBER: _ClassVar[int]
    S3_BUCKET_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OWNER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    SPEAKING_RATE_FIELD_NUMBER: _ClassVar[int]
    PITCH_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    conversion_id: str
    user_id: str
    text: str
    ssml: str
    audio_url: str
    model: str
    voice: str
    language: str
    duration_seconds: float
    file_size_bytes: int
    s3_key: str
    s3_bucket: str
    create_time: _timestamp_pb2.Timestamp
    metadata: ConversionMetadata
    owner_token: str
    format: AudioFormat
    sample_rate_hertz: int
    speaking_rate: float
    pitch: float
    character_count: int
    sha256: str
    def __init__(self, conversion_id: _Optional[str] = ..., user_id: _Optional[str] = ..., text: _Optional[str] = ..., ssml: _Optional[str] = ..., audio_url: _Optional[str] = ..., model: _Optional[str] = ..., voice: _Optional[str] = ..., language: _Optional[str] = ..., duration_seconds: _Optional[float] = ..., file_size_bytes: _Optional[int] = ..., s3_key: _Optional[str] = ..., s3_bucket: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., metadata: _Optional[_Union[ConversionMetadata, _Mapping]] = ..., owner_token: _Optional[str] = ..., format: _Optional[_Union[AudioFormat, str]] = ..., sample_rate_hertz: _Optional[int] = ..., speaking_rate: _Optional[float] = ..., pitch: _Optional[float] = ..., character_count: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class ConversionMetadata(_message.Message):
    __slots__ = ("request_id", "provider", "latency_ms", "status_code", "cost_usd", "record_key", "input_key")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    RECORD_KEY_FIELD_NUMBER: _ClassVar[int]
    INPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    provider: str
    latency_ms: int
    status_code: int
    cost_usd: float
    record_key: str
    input_key: str
    def __init__(self, request_id: _Optional[str] = ..., provider: _Optional[str] = ..., latency_ms: _Optional[int] = ..., status_code: _Optional[int] = ..., cost_usd: _Optional[float] = ..., record_key: _Optional[str] = ..., input_key: _Optional[str] = ...) -> None: ...

class SynthesizeRequest(_message.Message):
    __slots__ = ("request_id", "text", "ssml", "voice", "language", "model", "format", "speaking_rate", "pitch")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SSML_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SPEAKING_RATE_FIELD_NUMBER: _ClassVar[int]
    PITCH_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    text: str
    ssml: str
    voice: str
    language: str
    model: str
    format: AudioFormat
    speaking_rate: float
    pitch: float
    def __init__(self, request_id: _Optional[str] = ..., text: _Optional[str] = ..., ssml: _Optional[str] = ..., voice: _Optional[str] = ..., language: _Optional[str] = ..., model: _Optional[str] = ..., format: _Optional[_Union[AudioFormat, str]] = ..., speaking_rate: _Optional[float] = ..., pitch: _Optional[float] = ...) -> None: ...

class SynthesizeResponse(_message.Message):
    __slots__ = ("conversion",)
    CONVERSION_FIELD_NUMBER: _ClassVar[int]
    conversion: Conversion
    def __init__(self, conversion: _Optional[_Union[Conversion, _Mapping]] = ...) -> None: ...

class StreamSynthesizeRequest(_message.Message):
    __slots__ = ("request_id", "text", "ssml", "voice", "language", "model", "format", "speaking_rate", "pitch")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SSML_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SPEAKING_RATE_FIELD_NUMBER: _ClassVar[int]
    PITCH_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    text: str
    ssml: str
    voice: str
    language: str
    model: str
    format: AudioFormat
    speaking_rate: float
    pitch: float
    def __init__(self, request_id: _Optional[str] = ..., text: _Optional[str] = ..., ssml: _Optional[str] = ..., voice: _Optional[str] = ..., language: _Optional[str] = ..., model: _Optional[str] = ..., format: _Optional[_Union[AudioFormat, str]] = ..., speaking_rate: _Optional[float] = ..., pitch: _Optional[float] = ...) -> None: ...

class StreamSynthesizeResponse(_message.Message):
    __slots__ = ("started", "audio", "word", "finished")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    started: SpeechStarted
    audio: AudioChunk
    word: WordTiming
    finished: SpeechFinished
    def __init__(self, started: _Optional[_Union[SpeechStarted, _Mapping]] = ..., audio: _Optional[_Union[AudioChunk, _Mapping]] = ..., word: _Optional[_Union[WordTiming, _Mapping]] = ..., finished: _Optional[_Union[SpeechFinished, _Mapping]] = ...) -> None: ...

class SpeechStarted(_message.Message):
    __slots__ = ("conversion_id", "model", "provider", "voice", "language", "format", "content_type", "create_time", "gives_word_timings")
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    VOICE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    GIVES_WORD_TIMINGS_FIELD_NUMBER: _ClassVar[int]
    conversion_id: str
    model: str
    provider: str
    voice: str
    language: str
    format: AudioFormat
    content_type: str
    create_time: _timestamp_pb2.Timestamp
    gives_word_timings: bool
    def __init__(self, conversion_id: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., voice: _Optional[str] = ..., language: _Optional[str] = ..., format: _Optional[_Union[AudioFormat, str]] = ..., content_type: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., gives_word_timings: _Optional[bool] = ...) -> None: ...

class AudioChunk(_message.Message):
    __slots__ = ("data", "offset", "duration")
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    offset: _duration_pb2.Duration
    duration: _duration_pb2.Duration
    def __init__(self, data: _Optional[bytes] = ..., offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WordTiming(_message.Message):
    __slots__ = ("text", "start", "end", "text_offset")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    text: str
    start: _duration_pb2.Duration
    end: _duration_pb2.Duration
    text_offset: int
    def __init__(self, text: _Optional[str] = ..., start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., text_offset: _Optional[int] = ...) -> None: ...

class SpeechFinished(_message.Message):
    __slots__ = ("conversion", "audio_duration", "audio_bytes", "chunk_count", "word_count")
    CONVERSION_FIELD_NUMBER: _ClassVar[int]
    AUDIO_DURATION_FIELD_NUMBER: _ClassVar[int]
    AUDIO_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    WORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    conversion: Conversion
    audio_duration: _duration_pb2.Duration
    audio_bytes: int
    chunk_count: int
    word_count: int
    def __init__(self, conversion: _Optional[_Union[Conversion, _Mapping]] = ..., audio_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., audio_bytes: _Optional[int] = ..., chunk_count: _Optional[int] = ..., word_count: _Optional[int] = ...) -> None: ...

class GetConversionRequest(_message.Message):
    __slots__ = ("conversion_id", "owner_token")
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    conversion_id: str
    owner_token: str
    def __init__(self, conversion_id: _Optional[str] = ..., owner_token: _Optional[str] = ...) -> None: ...

class GetConversionResponse(_message.Message):
    __slots__ = ("conversion",)
    CONVERSION_FIELD_NUMBER: _ClassVar[int]
    conversion: Conversion
    def __init__(self, conversion: _Optional[_Union[Conversion, _Mapping]] = ...) -> None: ...

class DownloadAudioRequest(_message.Message):
    __slots__ = ("conversion_id", "owner_token")
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    conversion_id: str
    owner_token: str
    def __init__(self, conversion_id: _Optional[str] = ..., owner_token: _Optional[str] = ...) -> None: ...

class DownloadAudioResponse(_message.Message):
    __slots__ = ("chunk", "sha256", "content_type", "total_bytes")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    sha256: str
    content_type: str
    total_bytes: int
    def __init__(self, chunk: _Optional[bytes] = ..., sha256: _Optional[str] = ..., content_type: _Optional[str] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class ListConversionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "skip", "user_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    skip: int
    user_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., skip: _Optional[int] = ..., user_id: _Optional[str] = ...) -> None: ...

class ListConversionsResponse(_message.Message):
    __slots__ = ("conversions", "next_page_token", "total_size")
    CONVERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    conversions: _containers.RepeatedCompositeFieldContainer[Conversion]
    next_page_token: str
    total_size: int
    def __init__(self, conversions: _Optional[_Iterable[_Union[Conversion, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class DeleteConversionRequest(_message.Message):
    __slots__ = ("conversion_id",)
    CONVERSION_ID_FIELD_NUMBER: _ClassVar[int]
    conversion_id: str
    def __init__(self, conversion_id: _Optional[str] = ...) -> None: ...

class DeleteConversionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListVoicesRequest(_message.Message):
    __slots__ = ("language", "model")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    language: str
    model: str
    def __init__(self, language: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class ListVoicesResponse(_message.Message):
    __slots__ = ("voices",)
    VOICES_FIELD_NUMBER: _ClassVar[int]
    voices: _containers.RepeatedCompositeFieldContainer[Voice]
    def __init__(self, voices: _Optional[_Iterable[_Union[Voice, _Mapping]]] = ...) -> None: ...

class Voice(_message.Message):
    __slots__ = ("name", "display_name", "language", "sample_rate_hertz", "provider", "model", "gender")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GENDER_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    language: str
    sample_rate_hertz: int
    provider: str
    model: str
    gender: VoiceGender
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., language: _Optional[str] = ..., sample_rate_hertz: _Optional[int] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., gender: _Optional[_Union[VoiceGender, str]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "default_model")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    default_model: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., default_model: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "provider", "display_name", "description", "ready", "not_ready_reason", "minimum_speaking_rate", "maximum_speaking_rate", "minimum_pitch", "maximum_pitch", "takes_ssml", "gives_word_timings", "maximum_characters", "anonymous_maximum_characters", "default_voice", "prices", "timeout")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    NOT_READY_REASON_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SPEAKING_RATE_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_SPEAKING_RATE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_PITCH_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_PITCH_FIELD_NUMBER: _ClassVar[int]
    TAKES_SSML_FIELD_NUMBER: _ClassVar[int]
    GIVES_WORD_TIMINGS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_MAXIMUM_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VOICE_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    provider: str
    display_name: str
    description: str
    ready: bool
    not_ready_reason: str
    minimum_speaking_rate: float
    maximum_speaking_rate: float
    minimum_pitch: float
    maximum_pitch: float
    takes_ssml: bool
    gives_word_timings: bool
    maximum_characters: int
    anonymous_maximum_characters: int
    default_voice: str
    prices: _containers.RepeatedCompositeFieldContainer[ModelPrice]
    timeout: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., provider: _Optional[str] = ..., display_name: _Optional[str] = ..., description: _Optional[str] = ..., ready: _Optional[bool] = ..., not_ready_reason: _Optional[str] = ..., minimum_speaking_rate: _Optional[float] = ..., maximum_speaking_rate: _Optional[float] = ..., minimum_pitch: _Optional[float] = ..., maximum_pitch: _Optional[float] = ..., takes_ssml: _Optional[bool] = ..., gives_word_timings: _Optional[bool] = ..., maximum_characters: _Optional[int] = ..., anonymous_maximum_characters: _Optional[int] = ..., default_voice: _Optional[str] = ..., prices: _Optional[_Iterable[_Union[ModelPrice, _Mapping]]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ModelPrice(_message.Message):
    __slots__ = ("unit", "nano_usd_per_million")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    NANO_USD_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    unit: _usage_pb2.Unit
    nano_usd_per_million: int
    def __init__(self, unit: _Optional[_Union[_usage_pb2.Unit, str]] = ..., nano_usd_per_million: _Optional[int] = ...) -> None: ...

class SummarizeUsageRequest(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SummarizeUsageResponse(_message.Message):
    __slots__ = ("event_count", "summaries", "pending_event_count")
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUMMARIES_FIELD_NUMBER: _ClassVar[int]
    PENDING_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    event_count: int
    summaries: _containers.RepeatedCompositeFieldContainer[UsageSummary]
    pending_event_count: int
    def __init__(self, event_count: _Optional[int] = ..., summaries: _Optional[_Iterable[_Union[UsageSummary, _Mapping]]] = ..., pending_event_count: _Optional[int] = ...) -> None: ...

class UsageSummary(_message.Message):
    __slots__ = ("user_id", "model", "status", "event_count", "quantities")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUANTITIES_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    model: str
    status: _usage_pb2.UsageStatus
    event_count: int
    quantities: _containers.RepeatedCompositeFieldContainer[_usage_pb2.Quantity]
    def __init__(self, user_id: _Optional[str] = ..., model: _Optional[str] = ..., status: _Optional[_Union[_usage_pb2.UsageStatus, str]] = ..., event_count: _Optional[int] = ..., quantities: _Optional[_Iterable[_Union[_usage_pb2.Quantity, _Mapping]]] = ...) -> None: ...

class RedeliverUsageRequest(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RedeliverUsageResponse(_message.Message):
    __slots__ = ("event_count",)
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    event_count: int
    def __init__(self, event_count: _Optional[int] = ...) -> None: ...
