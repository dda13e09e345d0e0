"""Passwords that nobody has thought of."""

import secrets
import string

_GROUPS, _LENGTH = 5, 5
_ALPHABETS = tuple("".join(sorted({*letters} - {*"0O1lI"})) for letters in (
    string.ascii_lowercase, string.ascii_uppercase, string.digits,
))  # fmt: skip
_ALL = "".join(_ALPHABETS)


def generated() -> str:
    """Return a password of 140 bits that can be read aloud, has all kinds of characters, and needs no quotes."""
    while True:
        text = "-".join("".join(secrets.choice(_ALL) for _ in range(_LENGTH)) for _ in range(_GROUPS))
        if all(set(text) & set(letters) for letters in _ALPHABETS):
            return text
