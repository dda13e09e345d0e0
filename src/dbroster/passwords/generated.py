"""Passwords that nobody has thought of."""

import secrets
import string
from collections.abc import Sequence

from dbroster.passwords.policy import PasswordRules, complaints
from dbroster.passwords.secret import Secret

_GROUPS, _LENGTH = 5, 5
_LOWER, _UPPER, _DIGITS = ("".join(sorted({*letters} - {*"0O1lI"})) for letters in (
    string.ascii_lowercase, string.ascii_uppercase, string.digits,
))  # fmt: skip
_ALL = _LOWER + _UPPER + _DIGITS
_BETWEEN = "-._"  # none of them needs a quote in a shell, a URI or a file of settings
_TRIES = 1000
_OURS = PasswordRules(0, lower=2, upper=2, digits=2, others=2, forbid_user_name=False)
"""More of each kind than servers ask for where nobody has changed their rules."""


def generated(user: str = "", rules: Sequence[PasswordRules] = ()) -> str:
    """Return a password of more than 130 bits that can be read aloud, needs no quotes, and meets the rules.

    Its first 25 letters and digits are each one of 57, by chance: 145 bits; to choose one of 1000 costs 10 of them at
    most. Raises ValueError when there seems to be none that meets all rules.
    """
    forbidden = {word for each in rules for word in each.forbidden}
    for _ in range(_TRIES):
        text = _candidate(rules, next((each for each in _BETWEEN if each not in forbidden), ""))
        if not any(complaints(Secret(text), user, each) for each in (_OURS, *rules)):
            return text
    raise ValueError("no password meets all rules")


def _candidate(rules: Sequence[PasswordRules], between: str) -> str:
    text = between.join(_some(_ALL, _LENGTH) for _ in range(_GROUPS))
    for letters, wanted in (
        (_LOWER, [each.lower for each in rules]),
        (_UPPER, [each.upper for each in rules]),
        (_DIGITS, [each.digits for each in rules]),
        (between, [each.others for each in rules]),
    ):
        have = sum(letter in letters for letter in text)
        text += _some(letters, max(wanted, default=0) - have)
    return text + _some(_ALL, max((each.min_length for each in rules), default=0) - len(text))


def _some(letters: str, number: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(number))
