"""The object store, and the services that fill it."""

# ruff: noqa: RUF009 - `setting` makes a dataclass field.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.settings.addresses import WEB_ADDRESS
from services.settings.kinds import (
    BOOLEAN,
    PATH,
    POSITIVE_DURATION,
    SECRET,
    SIZE,
    TEXT,
    SecretStr,
    setting,
    whole,
)


@dataclass(frozen=True, slots=True)
class BlobSettings:
    """The object store: a folder, unless an S3 endpoint or key is set."""

    folder: Path | None = setting(
        PATH, None, "Folder of the objects; without it `blobs` in the data directory. Not with S3."
    )
    s3_endpoint: str | None = setting(
        WEB_ADDRESS,
        None,
        "Address of an S3 server such as MinIO; with a key and without an address it is Amazon's.",
        "S3_ENDPOINT",
    )
    s3_public_endpoint: str | None = setting(
        WEB_ADDRESS,
        None,
        "Address of the same server for those who follow download links, where it differs.",
    )
    s3_access_key: SecretStr | None = setting(SECRET, None, "Access key of S3.", "S3_ACCESS_KEY")
    s3_secret_key: SecretStr | None = setting(SECRET, None, "Secret key of S3.", "S3_SECRET_KEY")
    s3_bucket: str = setting(
        TEXT,
        "llmhist-image-dev",
        "Bucket of the objects; made at the start when it is not there.",
        "S3_BUCKET",
    )
    s3_region: str = setting(TEXT, "us-east-1", "Region of the bucket.")
    s3_path_style: bool = setting(
        BOOLEAN, True, "Name the bucket in the path of addresses, not in the host's name."
    )
    timeout: float = setting(POSITIVE_DURATION, 30.0, "How long reading or writing an object may take.")

    @property
    def is_s3(self) -> bool:
        """Whether objects are kept in S3."""
        return any(each is not None for each in (self.s3_endpoint, self.s3_access_key, self.s3_secret_key))


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """The Image service."""

    models_file: Path | None = setting(
        PATH, None, "TOML file of the image models on offer; `procedural` is always there."
    )
    pollinations_url: str | None = setting(
        WEB_ADDRESS,
        None,
        "Address of Pollinations, such as https://image.pollinations.ai/prompt; prompts are sent there only when it is set.",
        "POLLINATIONS_API_URL",
    )
    hf_token: SecretStr | None = setting(SECRET, None, "Token for Hugging Face's inference.", "HF_TOKEN")
    connect_timeout: float = setting(POSITIVE_DURATION, 10.0, "How long reaching a provider may take.")
    timeout: float = setting(POSITIVE_DURATION, 120.0, "How long one attempt to make images may take.")
    retries: int = setting(
        whole(0, 10), 2, "How often a provider is asked again that is busy or can't be reached, in one call."
    )
    max_image_bytes: int = setting(SIZE, 16 * 1024**2, "Largest image that is taken from a provider.")
    max_pixels: int = setting(
        whole(65_536, 268_435_456), 16_777_216, "Most pixels of an image that is taken from a provider."
    )
    max_generations: int = setting(
        whole(1, 1_000_000), 1000, "Calls that make images at once in a process; more are refused."
    )
    provider_calls: int = setting(
        whole(1, 10_000), 32, "Calls of one provider that a process makes at once; more wait for their turn."
    )
    workers: int = setting(whole(1, 64), 2, "Processes that decode, draw and convert images.")
    embed_metadata: bool = setting(BOOLEAN, True, "Write prompt, model and seed into the image file.")
    link_ttl: float = setting(
        POSITIVE_DURATION, 900.0, "Life of a download link, a week at most; there are links with S3 only."
    )
    anonymous_retention: float = setting(
        POSITIVE_DURATION, 7 * 86400.0, "How long images of callers without a credential are kept."
    )
    lease_ttl: float = setting(
        POSITIVE_DURATION, 15.0, "How long a silent process still counts as at work on its images."
    )


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """The Speech service."""

    workers: int = setting(whole(1, 64), 2, "Processes that speak.")
    models_file: Path | None = setting(
        PATH, None, "TOML file of the speech models on offer; `espeak-ng` and `gtts` are always there."
    )
    default_model: str = setting(
        TEXT,
        "",
        "Model that speaks when none is named; without it `espeak-ng` where it is installed, or the first that is ready.",
    )
    gtts: bool = setting(
        BOOLEAN,
        True,
        "Offer `gtts`, the voices of Google Translate: the texts that it speaks are sent there.",
    )
    gtts_url: str = setting(WEB_ADDRESS, "https://translate.google.com", "Address of Google Translate.")
    connect_timeout: float = setting(POSITIVE_DURATION, 10.0, "How long reaching a provider may take.")
    timeout: float = setting(POSITIVE_DURATION, 60.0, "How long a model may take for one part of a text.")
    retries: int = setting(
        whole(0, 10), 2, "How often a provider is asked again that is busy or can't be reached, for one part."
    )
    max_characters: int = setting(whole(1, 100_000), 100_000, "Longest text, in characters.")
    anonymous_characters: int = setting(
        whole(0, 100_000), 10_000, "Longest text of callers without a credential, in characters."
    )
    max_audio: float = setting(POSITIVE_DURATION, 8 * 3600.0, "Longest audio of one call.")
    anonymous_audio: float = setting(
        POSITIVE_DURATION, 3600.0, "Longest audio of one call without a credential."
    )
    spool_bytes: int = setting(
        SIZE,
        8 * 1024**3,
        "Audio that a process keeps at once, most of it on the disk, of calls that are spoken or listened to.",
    )
    max_audio_bytes: int = setting(
        SIZE, 32 * 1024**2, "Largest audio of one part that is taken from a provider."
    )
    max_generations: int = setting(
        whole(1, 1_000_000), 1000, "Calls that speak at once in a process; more are refused."
    )
    provider_calls: int = setting(
        whole(1, 64),
        8,
        "Calls of one provider behind HTTP that a process makes at once; more wait for their turn.",
    )
    anonymous_retention: float = setting(
        POSITIVE_DURATION, 7 * 86400.0, "How long conversions of callers without a credential are kept."
    )
    lease_ttl: float = setting(
        POSITIVE_DURATION, 15.0, "How long a silent process still counts as at work on its conversions."
    )
