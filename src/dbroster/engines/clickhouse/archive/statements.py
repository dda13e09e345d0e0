"""CREATE statements, as the server shows them: what in them are words, and which constraints they have."""

import re
from collections.abc import Iterator

_CONSTRAINT = re.compile(r"CONSTRAINT (`(?:[^`\\]|\\.)*`|\w+) ", re.DOTALL)


def top_level(statement: str) -> Iterator[tuple[int, str]]:
    """Words outside of quotes and brackets, each with its place; none beside a dot, which is a name."""
    for depth, place, word in _parts(statement):
        end = place + len(word)
        if depth == 0 and _in_word(word[0]) and "." not in (statement[place - 1 : place], statement[end : end + 1]):
            yield place, word


def constraints(statement: str) -> dict[str, str]:
    """Names of the constraints of a table, quoted as they stand, with the text that makes each."""
    found = (_CONSTRAINT.match(entry) for entry in _entries(statement))
    return {match[1]: match.string for match in found if match}


def _entries(statement: str) -> Iterator[str]:
    """What stands between commas in the first brackets: columns, indexes, constraints."""
    start = None
    for depth, place, sign in _parts(statement):
        if start is None:
            start = place + 1 if (depth, sign) == (1, "(") else None
        elif (depth == 1 and sign == ",") or (depth == 0 and sign == ")"):
            yield statement[start:place].strip()
            if sign == ")":
                return
            start = place + 1


def _parts(statement: str) -> Iterator[tuple[int, int, str]]:
    """Words and signs outside of quotes, each with its depth in brackets and its place."""
    place, depth = 0, 0
    while place < len(statement):
        char, end = statement[place], place + 1
        if char in "'`\"":
            place = _end_of_quoted(statement, place)
            continue
        depth += (char in "([{") - (char in ")]}")
        while _in_word(char) and end < len(statement) and _in_word(statement[end]):
            end += 1
        yield depth, place, statement[place:end]
        place = end


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _end_of_quoted(statement: str, place: int) -> int:
    quote, place = statement[place], place + 1
    while place < len(statement) and statement[place] != quote:
        place += 2 if statement[place] == "\\" else 1
    return place + 1
