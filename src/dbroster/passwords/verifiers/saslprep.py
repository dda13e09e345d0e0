"""SASLprep, the Unicode normalisation of SCRAM passwords (RFC 4013), and PostgreSQL's variant of it."""

import stringprep
import unicodedata
from collections.abc import Iterator

# RFC 4013 section 2.3 and 2.5; non-ASCII spaces (C.1.2) are gone by then
_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)
_ZERO_WIDTH_SPACE = "\u200b"  # in both mapping tables of RFC 3454: PyMongo drops it, MongoDB makes a space of it


def saslprep(text: str) -> str:
    """Normalise a password as a stored string (RFC 4013), like drivers for MongoDB.

    Raises ValueError, without the text, where RFC 4013 prohibits a code point, their directions, or nothing is left.
    """
    if text and _is_plain(text):
        return text
    prepared = _normalised(text)
    if not prepared or next(_offenders(prepared), None) is not None:
        raise ValueError("SASLprep prohibits this text")
    return prepared


def saslprep_offender(password: str) -> str | None:
    """Name the first code point, as `U+1F600`, for which MongoDB's SCRAM-SHA-256 can't carry a password.

    None when it can. U+200B counts as one: drivers and the server disagree about what it means. So does the first
    code point of a password of which nothing would be left. An empty password has no offender.
    """
    if _is_plain(password):
        return None
    if _ZERO_WIDTH_SPACE in password:
        return _code_point(_ZERO_WIDTH_SPACE)
    prepared = _normalised(password)
    if not prepared:
        return _code_point(password[0]) if password else None
    found = next(_offenders(prepared), None)
    if found is None:
        return None
    # the file has the code point before normalisation: name that, so that it can be found
    return _code_point(next((char for char in password if found in _normalised(char)), found))


def postgresql_prepared(password: str) -> bytes:
    """Return the bytes that PostgreSQL hashes for a password.

    Like RFC 4013, but code points are checked before NFKC instead of after, pure ASCII is never looked at, and
    whatever the profile prohibits is used as it stands.
    """
    if password.isascii():
        return password.encode()
    # C.1.2 first: U+200B stands in both tables, and PostgreSQL makes a space of it
    spaced = (" " if stringprep.in_table_c12(char) else char for char in password)
    mapped = "".join(char for char in spaced if not stringprep.in_table_b1(char))
    if not mapped or next(_offenders(mapped), None) is not None:
        return password.encode()
    return unicodedata.normalize("NFKC", mapped).encode()


def _is_plain(text: str) -> bool:
    """Whether it is printable ASCII, of which no table of the profile speaks: so are most passwords."""
    return text.isascii() and text.isprintable()


def _normalised(text: str) -> str:
    """Mapping (2.1) and NFKC (2.2); table B.1 first, as PyMongo has it."""
    mapped = (" " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char))
    return unicodedata.ucd_3_2_0.normalize("NFKC", "".join(mapped))


def _offenders(prepared: str) -> Iterator[str]:
    """Yield what RFC 4013 prohibits, and what breaks the rules for right-to-left text (RFC 3454 section 6)."""
    yield from (char for char in prepared if any(in_table(char) for in_table in _PROHIBITED))
    right_to_left = [char for char in prepared if stringprep.in_table_d1(char)]
    at_both_ends = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
    if right_to_left and (not at_both_ends or any(stringprep.in_table_d2(char) for char in prepared)):
        yield right_to_left[0]  # the letter that people see as the foreign one


def _code_point(char: str) -> str:
    return f"U+{ord(char):04X}"
