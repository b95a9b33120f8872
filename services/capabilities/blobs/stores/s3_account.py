"""Whose bucket it is and where, and the clients of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from services.settings.kinds import SecretStr

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store

_CONNECT_SECONDS = 5.0
_RETRIES = 3


@dataclass(frozen=True, slots=True)
class S3Account:
    """A bucket, and a key to it. `endpoint` is the server's address; `timeout` is in seconds."""

    endpoint: str
    public_endpoint: str
    region: str
    bucket: str
    path_style: bool
    access_key: SecretStr
    secret_key: SecretStr
    timeout: float

    def client(self, *, retries: bool = True, public: bool = False) -> S3Store:
        """A client of the bucket. With `retries` it asks again, while there is time, after what may pass; with `public` it has the address
        for those who follow links."""
        # Who keeps objects in a folder need not wait for it.
        from obstore.store import S3Store

        seconds = timedelta(seconds=self.timeout)
        address = self._address(self.public_endpoint if public else self.endpoint)
        return S3Store(
            self.bucket,
            # What is given here is not looked for in the environment, whose AWS_… may be somebody else's.
            config={
                "endpoint": address,
                "aws_endpoint_url_s3": address,
                "region": self.region,
                "virtual_hosted_style_request": not self.path_style,
                "skip_signature": False,
            },
            credential_provider=self._credential,
            client_options={
                "allow_http": True,
                "connect_timeout": min(seconds, timedelta(seconds=_CONNECT_SECONDS)),
                "read_timeout": seconds,
                # An object that is read in pieces may take its reader any time; each call has an end of its own.
                "timeout": timedelta(days=1),
            },
            retry_config={
                "max_retries": _RETRIES if retries else 0,
                "retry_timeout": seconds,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )

    def _address(self, endpoint: str) -> str:
        if self.path_style:
            return endpoint
        parts = urlsplit(endpoint)
        return urlunsplit(parts._replace(netloc=f"{self.bucket}.{parts.netloc}"))

    def _credential(self) -> S3Credential:
        return {
            "access_key_id": self.access_key.get_secret_value(),
            "secret_access_key": self.secret_key.get_secret_value(),
            "token": None,
            "expires_at": None,
        }
