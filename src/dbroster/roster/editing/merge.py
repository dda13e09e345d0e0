"""Two changes of one text: what somebody else has written meanwhile is done to what a person has edited, too."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Merged(NamedTuple):
    """The text with both changes, and the numbers of lines of the first text that both have changed.

    Such lines are as the person wrote them.
    """

    data: bytes
    disputed: Sequence[int]


def merged(before: bytes, mine: bytes, theirs: bytes) -> Merged:
    """Return my text with the other changes in it."""
    from difflib import SequenceMatcher  # it is seldom that two write at once

    old, own, other = (text.splitlines(keepends=True) for text in (before, mine, theirs))
    blocks = SequenceMatcher(None, old, own, autojunk=False).get_matching_blocks()
    kept = {block.a + number: block.b + number for block in blocks for number in range(block.size)}
    gone: set[int] = set()
    added: defaultdict[int, list[bytes]] = defaultdict(list)
    disputed: list[int] = []
    for tag, first, last, start, end in SequenceMatcher(None, old, other, autojunk=False).get_opcodes():
        changed = range(first, last)
        if tag == "equal":
            continue
        if any(number not in kept for number in changed):
            disputed += (number + 1 for number in changed)
            continue
        gone |= {kept[number] for number in changed}
        added[_place(kept, first)] += other[start:end]
    lines = [[*added[number], *([] if number in gone else [line])] for number, line in enumerate(own)]
    return Merged(b"".join([line for some in lines for line in some] + added[len(own)]), disputed)


def _place(kept: Mapping[int, int], number: int) -> int:
    """Return where in my text something stands that stood at this line: there, or behind what stood before it."""
    if number in kept:
        return kept[number]
    return next((kept[each] + 1 for each in range(number - 1, -1, -1) if each in kept), 0)
