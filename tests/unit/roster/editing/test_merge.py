"""Two changes of one text become one text with both."""

from itertools import product

import pytest

from dbroster.roster.editing.merge import Merged, merged

TEXT = b"1\n2\n3\n4\n"


@pytest.mark.parametrize(
    ("mine", "theirs", "both"),
    [
        (b"1\n2\n3\n4\n5\n", b"1\n2\n3\n4\n6\n", b"1\n2\n3\n4\n6\n5\n"),
        (b"0\n1\n2\n3\n4\n", b"1\n2\n3\n", b"0\n1\n2\n3\n"),
        (b"4\n", b"1\n2\n3\n4\n5\n", b"4\n5\n"),
        (b"", b"1\n2\n3\n4\n5\n", b"5\n"),
        (b"1\n2\n3\n4\n5\n", b"", b"5\n"),
        (b"1\nB\n3\n4\n", b"1\n2\n3\nD\n", b"1\nB\n3\nD\n"),
        (b"2\n1\n3\n4\n", b"1\n2\n3\nD\n", b"2\n1\n3\nD\n"),
    ],
)
def test_both_changes(mine: bytes, theirs: bytes, both: bytes) -> None:
    assert merged(TEXT, mine, theirs) == Merged(both, [])


@pytest.mark.parametrize(
    ("mine", "theirs", "disputed"),
    [
        (b"1\nB\n3\n4\n", b"1\nb\n3\n4\n", [2]),
        (b"1\nB\n3\n4\n", b"1\n3\n4\n", [2]),
        (b"1\n3\n4\n", b"1\nb\n3\n4\n", [2]),
        (b"1\nB\n3\n4\n", b"1\nx\n4\n", [2, 3]),
    ],
)
def test_what_both_have_changed_is_mine_and_told(mine: bytes, theirs: bytes, disputed: list[int]) -> None:
    assert merged(TEXT, mine, theirs) == Merged(mine, disputed)


def test_who_alone_changes_has_his_way() -> None:
    texts = [b"", TEXT, b"4\n3\n2\n1\n", b"1\n1\n4\n", b"x\n2\ny\n4\nz\n"]
    for before, after in product(texts, texts):
        assert merged(before, before, after) == Merged(after, [])
        assert merged(before, after, before) == Merged(after, [])
