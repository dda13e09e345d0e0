"""Rules for passwords: what is configured per engine, and what a server asks for itself."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dbroster.passwords.secret import Secret

_CONTROL_CHARACTERS = re.compile(r"[\0\r\n]")


class PasswordRules(NamedTuple):
    """What a password must have; lengths and counts are in characters, 0 asks for nothing.

    `classes`: how many of lower case, upper case, digits and other characters must occur. `forbidden`: words that must
    not occur in it, whatever their case. `source` says whose rules these are, for the message.
    """

    min_length: int = 12
    classes: int = 3
    lower: int = 0
    upper: int = 0
    digits: int = 0
    others: int = 0
    forbid_user_name: bool = True
    forbidden: tuple[str, ...] = ()
    source: str = "password_policy"


def complaints(password: Secret, user: str, rules: PasswordRules) -> list[str]:
    """Say everything that is wrong with a password, in words that never contain it."""
    return [f"{text} ({rules.source})" for text in _broken_rules(password.reveal(), user, rules)]


def unprintable(password: Secret) -> str | None:
    """Name the character that no client could send: NUL, carriage return or line feed."""
    found = _CONTROL_CHARACTERS.search(password.reveal())
    return f"the password contains U+{ord(found[0]):04X}, which clients can't send" if found else None


def _broken_rules(text: str, user: str, rules: PasswordRules) -> Iterator[str]:
    lower, upper, digits = (sum(map(kind, text)) for kind in (str.islower, str.isupper, str.isdigit))
    counts = {
        "lower-case letters": (lower, rules.lower),
        "upper-case letters": (upper, rules.upper),
        "digits": (digits, rules.digits),
        "other characters": (len(text) - lower - upper - digits, rules.others),  # no character is of two kinds
    }
    if len(text) < rules.min_length:
        yield f"the password has {len(text)} characters, at least {rules.min_length} are asked for"
    have = sum(count > 0 for count, _ in counts.values())
    if have < rules.classes:
        yield (
            f"the password has {have} of the four kinds of characters (lower case, upper case, digits, others), "
            f"at least {rules.classes} are asked for"
        )
    for kind, (count, wanted) in counts.items():
        if count < wanted:
            yield f"the password has {count} {kind}, at least {wanted} are asked for"
    folded = text.casefold()
    if rules.forbid_user_name and _names(folded, user.casefold()):
        yield "the password contains the user name"
    if any(word.casefold() in folded for word in rules.forbidden):
        yield "the password contains a word that `forbidden` lists"


def _names(text: str, user: str) -> bool:
    """A name of one to three letters occurs in good passwords by chance; only a longer one counts as a part."""
    return user in text if len(user) > 3 else user == text
