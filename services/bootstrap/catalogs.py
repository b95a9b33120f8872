"""The operator's catalogs of models, looked at before anything is made for services that could not use them."""

from __future__ import annotations

from collections.abc import Sequence

from services.settings import Settings


def check_catalogs(settings: Settings, services: Sequence[str]) -> None:
    """Returns when the catalogs of these services, those that are files of the operator's, can be read. Raises StartupError."""
    if "chat" in services and settings.chat.models_file is not None:
        from services.chat.providers.catalog import ECHO
        from services.chat.providers.catalog_file import read_catalog_file as read_chat_catalog

        read_chat_catalog(settings.chat.models_file, {ECHO})
    if "image" in services and settings.image.models_file is not None:
        from services.image.providers.catalog import PROCEDURAL
        from services.image.providers.catalog_file import read_catalog_file as read_image_catalog

        read_image_catalog(settings.image.models_file, {PROCEDURAL})
    if "speech" in services and settings.speech.models_file is not None:
        from services.speech.providers.catalog import ESPEAK, GTTS
        from services.speech.providers.catalog_file import read_catalog_file as read_speech_catalog

        read_speech_catalog(settings.speech.models_file, {ESPEAK, GTTS})
