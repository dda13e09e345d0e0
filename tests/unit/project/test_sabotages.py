"""The sabotages of `make sabotage` fit the code that they break, long before anybody runs them."""

import pytest

from tools.sabotage import LINT, ROOT, Sabotage, sabotages


def test_each_sabotage_still_has_what_it_breaks_and_who_notices() -> None:
    texts: dict[str, str] = {}
    found = sabotages()
    for sabotage in found:
        path = ROOT / sabotage.file
        text = texts.setdefault(sabotage.file, path.read_text() if path.exists() else "")
        assert sabotage.broken(text) != text
        tests = [name for name in sabotage.tests if name.startswith("tests")]
        assert tests or sabotage.tests == [LINT]
        assert all((ROOT / name).exists() for name in tests), sabotage.name
    assert len({sabotage.name for sabotage in found}) == len(found)


def test_all_of_a_sabotage_is_read() -> None:
    found = Sabotage.of("it breaks\nsrc/x.py\n-a\n- b\n+c\n? KIND=1 tests/x.py -k 'a and b'\n")
    assert found[:4] == ("it breaks", "src/x.py", "a\n b", "c")
    assert (found.environment, found.tests) == ({"KIND": "1"}, ["tests/x.py", "-k", "a and b"])
    with pytest.raises(ValueError, match="no sabotage"):
        Sabotage.of("it breaks\nsrc/x.py\na\n+c\n? lint\n")


@pytest.mark.parametrize("text", ["", "a\na\n"])
def test_a_sabotage_that_fits_no_more_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not stand once in x\.py"):
        Sabotage("x", "x.py", "a", "b", "").broken(text)


def test_a_new_file_is_none_that_was_there() -> None:
    assert Sabotage("x", "x.py", "", "b", LINT).broken("") == "b"
    with pytest.raises(ValueError, match="does not stand once"):
        Sabotage("x", "x.py", "", "b", LINT).broken("a")
