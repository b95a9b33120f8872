"""What an operator can set: typed, frozen sections, read once by `Settings.load` and handed down; needs the standard library alone.

Plain dataclasses rather than a settings library: reading them costs a start-up nothing, and every error names the
variable that the operator wrote.
"""

from services.settings.kinds import SecretStr
from services.settings.reading import Settings, environment
from services.settings.sections import (
    AnalyticsSettings,
    AuthSettings,
    BlobSettings,
    ChatSettings,
    DatabaseSettings,
    ForeignIssuer,
    IdentitySettings,
    ImageSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    MongoSettings,
    PeerSettings,
    ServerSettings,
    SpeechSettings,
)

__all__ = [
    "AnalyticsSettings",
    "AuthSettings",
    "BlobSettings",
    "ChatSettings",
    "DatabaseSettings",
    "ForeignIssuer",
    "IdentitySettings",
    "ImageSettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "MongoSettings",
    "PeerSettings",
    "SecretStr",
    "ServerSettings",
    "Settings",
    "SpeechSettings",
    "environment",
]
