"""The languages that Google Translate speaks, by their BCP 47 tags. Its own names are older for two of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its tag, its English name, and what Google Translate calls it."""

    tag: str
    name: str
    upstream: str


def _language(tag: str, name: str, upstream: str = "") -> Language:
    return Language(tag, name, upstream or tag)


LANGUAGES = (
    _language("af", "Afrikaans"),
    _language("am", "Amharic"),
    _language("ar", "Arabic"),
    _language("bg", "Bulgarian"),
    _language("bn", "Bengali"),
    _language("bs", "Bosnian"),
    _language("ca", "Catalan"),
    _language("cs", "Czech"),
    _language("cy", "Welsh"),
    _language("da", "Danish"),
    _language("de", "German"),
    _language("el", "Greek"),
    _language("en", "English"),
    _language("es", "Spanish"),
    _language("et", "Estonian"),
    _language("eu", "Basque"),
    _language("fi", "Finnish"),
    _language("fr", "French"),
    _language("fr-CA", "French (Canada)"),
    _language("gl", "Galician"),
    _language("gu", "Gujarati"),
    _language("ha", "Hausa"),
    _language("he", "Hebrew", "iw"),
    _language("hi", "Hindi"),
    _language("hr", "Croatian"),
    _language("hu", "Hungarian"),
    _language("id", "Indonesian"),
    _language("is", "Icelandic"),
    _language("it", "Italian"),
    _language("ja", "Japanese"),
    _language("jv", "Javanese", "jw"),
    _language("km", "Khmer"),
    _language("kn", "Kannada"),
    _language("ko", "Korean"),
    _language("la", "Latin"),
    _language("lt", "Lithuanian"),
    _language("lv", "Latvian"),
    _language("ml", "Malayalam"),
    _language("mr", "Marathi"),
    _language("ms", "Malay"),
    _language("my", "Burmese"),
    _language("ne", "Nepali"),
    _language("nl", "Dutch"),
    _language("no", "Norwegian"),
    _language("pa", "Punjabi"),
    _language("pl", "Polish"),
    _language("pt", "Portuguese (Brazil)"),
    _language("pt-PT", "Portuguese (Portugal)"),
    _language("ro", "Romanian"),
    _language("ru", "Russian"),
    _language("si", "Sinhala"),
    _language("sk", "Slovak"),
    _language("sq", "Albanian"),
    _language("sr", "Serbian"),
    _language("su", "Sundanese"),
    _language("sv", "Swedish"),
    _language("sw", "Swahili"),
    _language("ta", "Tamil"),
    _language("te", "Telugu"),
    _language("th", "Thai"),
    _language("tl", "Filipino"),
    _language("tr", "Turkish"),
    _language("uk", "Ukrainian"),
    _language("ur", "Urdu"),
    _language("vi", "Vietnamese"),
    _language("yue", "Cantonese"),
    _language("zh-CN", "Chinese (Mandarin)"),
    _language("zh-TW", "Chinese (Mandarin, Taiwan)"),
)
