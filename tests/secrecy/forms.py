"""Every spelling in which a secret could stand somewhere; written without a look at dbroster's own filter."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

CORE = 12  # characters of a password that no quoting changes, so that a part of it is found as well


def spellings(secret: str) -> set[bytes]:
    """The text, its core, and what escaping, URLs, JSON, base64, hex and UTF-16 make of them."""
    found: set[bytes] = set()
    for text in (secret, secret[:CORE]):
        raw = text.encode()
        found |= {raw, text.encode("utf-16-le"), raw.hex().encode(), raw.hex().upper().encode()}
        found |= {quote(text, safe="").encode(), quote_plus(text).encode(), json.dumps(text)[1:-1].encode()}
        found |= {repr(text)[1:-1].encode(), text.replace("'", "''").encode(), raw.replace(b"\\", b"\\\\")}
        found |= {raw.replace(b"\\", b"\\\\").replace(b"'", b"\\'"), raw[::-1]}
        found |= set(_in_base64(raw))
    found |= {getattr(hashlib, name)(secret.encode()).hexdigest().encode() for name in ("md5", "sha1", "sha256")}
    return found


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """What is left of it inside a longer encoded text, at each of the three alignments."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw + b"\0" * 3)
        yield encoded[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]


def leaks(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[str]:
    """Name each place that holds a secret, without the secret itself."""
    forms = {name: spellings(secret) for name, secret in secrets.items()}
    return [
        f"{place} holds {name}"
        for place, data in places.items()
        for name in forms
        for form in forms[name]
        if form in data
    ]
