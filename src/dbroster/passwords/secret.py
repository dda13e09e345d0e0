"""Texts that must not get out: `Secret` keeps one, `scrub` removes them from what a driver says."""

import base64
import hmac
import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NoReturn, Self, final

HIDDEN = "[secret]"
FRAGMENT = 12  # characters; a server may quote only a part of the statement, so a part of a secret


@final
class Secret:
    """A password or verifier that shows itself to nobody but callers of `reveal` and `bytes`.

    `repr` gives a mask, so that dataclasses, tracebacks and assertion messages may hold secrets. `str` and
    f-strings raise TypeError instead of giving one: a mask that slipped into a statement would become everybody's
    password, without a sound. Copies are the object itself; pickling, JSON and `vars` raise TypeError. Equality
    takes the same time wherever the two differ. It has no hash, so it can't become a key that something prints.
    """

    __slots__ = ("__text",)
    __hash__ = None  # type: ignore[assignment]  # the way Python spells "unhashable"

    def __init__(self, value: str) -> None:
        """Keep a text. Raises TypeError for anything else and ValueError for lone surrogates, never showing it."""
        if not isinstance(value, str):
            raise TypeError(f"a Secret keeps a str, not {type(value).__name__}")
        _utf8(value)
        self.__text = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self.__text

    def bytes(self) -> bytes:
        """Return the text as UTF-8."""
        return self.__text.encode()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.bytes(), other.bytes())

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> NoReturn:
        raise TypeError("a Secret is never printed")

    def __format__(self, _: str) -> NoReturn:
        raise TypeError("a Secret is never printed")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never stored")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret is never stored")


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Return a driver's error text with `[secret]` in the place of every secret.

    Found are the plain form, the forms that quoting for SQL, repr, JSON, URLs, base64 (alone or inside a longer
    text, as in HTTP Basic) and hex give it, and parts of at least 12 characters of any of these. Empty secrets are
    ignored. A secret of one or two letters makes the text unreadable; the password policy is to refuse those.
    """
    hidden = bytearray(len(text))
    for start, end in _found(text, {form for secret in secrets for form in _forms(secret)}):
        hidden[start:end] = b"\1" * (end - start)
    runs = groupby(zip(hidden, text, strict=True), key=lambda pair: pair[0])
    return "".join(HIDDEN if is_hidden else "".join(char for _, char in run) for is_hidden, run in runs)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # not chained: that error carries the whole text
        raise ValueError("a secret must be encodable as UTF-8") from None


def _found(text: str, forms: set[str]) -> Iterator[tuple[int, int]]:
    """Spans of the text, overlapping ones too, that are a short form or a part of a long one."""
    for form in (form for form in forms if len(form) < FRAGMENT):
        for found in re.finditer(f"(?={re.escape(form)})", text):  # looking ahead, so that overlaps are found
            yield found.start(), found.start() + len(form)
    long_forms = "\0".join(form for form in forms if len(form) >= FRAGMENT)
    for start in range(len(text) - FRAGMENT + 1):
        if text[start : start + FRAGMENT] in long_forms:
            yield start, start + FRAGMENT


def _forms(secret: str) -> set[str]:
    """Every spelling of a secret that may stand in an error text."""
    from urllib.parse import quote, quote_plus  # errors are rare

    raw = secret.encode(errors="surrogatepass")
    forms = {form for quoted in _sql_forms(secret) for form in (quoted, *_literal_forms(quoted))}
    forms |= {raw.decode("latin-1"), raw.hex(), raw.hex().upper()}
    for form in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        forms |= {form, _lower_percent(form)}
    for form in _base64_forms(raw):
        forms |= {form, form.replace("+", "-").replace("/", "_")}
    return forms - {""}


def _sql_forms(text: str) -> set[str]:
    backslashed = text.replace("\\", "\\\\")
    # what MySQL drivers escape beside quotes and backslash
    controls = str.maketrans({"\0": "\\0", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z", '"': '\\"', "'": "\\'"})
    return {
        text,
        backslashed,
        text.replace("'", "''"),
        text.replace('"', '""'),
        text.replace("`", "``"),
        backslashed.replace("'", "''"),
        backslashed.replace("'", "\\'"),
        backslashed.translate(controls),
    }


def _literal_forms(text: str) -> Iterator[str]:
    """Inside a Python or JSON literal; which quotes repr escapes depends on the rest of the text, so both ways."""
    for written in (repr, ascii, _bytes_repr):
        parts = [written(part)[1:-1] for part in text.split("'")]
        yield from ("'".join(parts), "\\'".join(parts))
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]


def _bytes_repr(text: str) -> str:
    return repr(text.encode(errors="surrogatepass"))[1:]


def _base64_forms(raw: bytes) -> Iterator[str]:
    """The encoding by itself, and what is left of it at each of the three alignments inside a longer text."""
    yield base64.b64encode(raw).decode()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        inner = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(inner) >= 6:  # shorter ones occur by chance
            yield inner


def _lower_percent(quoted: str) -> str:
    """The same with %c3 for %C3."""
    head, *rest = quoted.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])
