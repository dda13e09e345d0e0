"""The sabotages of `make sabotage` fit the code that they break, long before anybody runs them."""

import pytest

from tools.sabotage import LINT, ROOT, Sabotage
from tools.sabotages import SABOTAGES


def test_each_sabotage_still_has_what_it_breaks_and_who_notices() -> None:
    texts: dict[str, str] = {}
    for sabotage in SABOTAGES:
        path = ROOT / sabotage.file
        text = texts.setdefault(sabotage.file, path.read_text() if path.exists() else "")
        assert sabotage.broken(text) != text
        tests = [] if sabotage.tests == LINT else sabotage.tests.split("|")
        assert all((ROOT / name).exists() for name in tests if name.startswith("tests/")), sabotage.name
    assert len({sabotage.name for sabotage in SABOTAGES}) == len(SABOTAGES)


@pytest.mark.parametrize("text", ["", "a\na\n"])
def test_a_sabotage_that_fits_no_more_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not stand once in x\.py"):
        Sabotage("x", "x.py", "a", "b", "").broken(text)


def test_a_new_file_is_none_that_was_there() -> None:
    assert Sabotage("x", "x.py", "", "b", LINT).broken("") == "b"
    with pytest.raises(ValueError, match="does not stand once"):
        Sabotage("x", "x.py", "", "b", LINT).broken("a")
