"""Files with names, as people have them: from a list, from a spreadsheet, from the staff department."""

from pathlib import Path

import pytest

from dbroster.errors import ConfigError
from dbroster.report.plain.text import problem_text
from dbroster.roster.editing.names_file import Names, read_names
from tests.support.samples import PASSWORD, private


def read(directory: Path, data: str | bytes) -> Names:
    return read_names(private(directory / "names.csv", data))


def revealed(names: Names) -> dict[str, str | None]:
    return {name: secret and secret.reveal() for name, secret in names.passwords.items()}


@pytest.mark.parametrize(
    ("text", "expected", "ignored"),
    [
        ("bob\ncarla\n", {"bob": None, "carla": None}, 0),
        ("bob", {"bob": None}, 0),
        ("\ufeffbob\r\ncarla,\r\n", {"bob": None, "carla": None}, 0),
        (f"bob,{PASSWORD}\n\n# left out\ncarla\n", {"bob": PASSWORD, "carla": None}, 0),
        (" bob , Correct-horse \n", {"bob": "Correct-horse"}, 0),
        ('bob,"a,b""c:d"\n', {"bob": 'a,b"c:d'}, 0),
        ("name\nbob\n", {"bob": None}, 0),
        (f"Username,Password\nbob,{PASSWORD}\n", {"bob": PASSWORD}, 0),
        (f"mail,password,user\nb@x,{PASSWORD},bob\nc@x,,carla\n", {"bob": PASSWORD, "carla": None}, 1),
        ("name,mail,team\nbob,b@x,ops\ncarla\n", {"bob": None, "carla": None}, 2),
        ("name,password\nname,\n", {"name": None}, 0),
    ],
)  # fmt: skip
def test_what_is_taken(tmp_path: Path, text: str, expected: dict[str, str | None], ignored: int) -> None:
    names = read(tmp_path, text)
    assert (revealed(names), names.ignored) == (expected, ignored)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", "names.csv: PATH names nobody"),
        ("name,password\n", "names.csv: PATH names nobody"),
        ("bob;secret7\n", "names.csv line 1: not a user name"),
        ("bob\n,secret7\n", "names.csv line 2: not a user name"),
        ("mail,name\nsecret7\n", "names.csv line 2: not a user name"),
        ("bob,secret7,ops\n", "names.csv line 1: more than two columns"),
        ("bob\ncarla\nbob,secret7\n", "names.csv line 3: bob stands there twice"),
        (' bob , "secret7,x" \n', "names.csv line 1: more than two columns"),
        ('bob,"secret7" x\n', "names.csv line 1: not CSV"),
        ('bob,"secret7\n', "names.csv line 1: not CSV"),
        (b"bob\xff\n", "names.csv: PATH is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, data: str | bytes, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, data)
    (problem,) = caught.value.problems
    assert problem_text(problem).replace(str(tmp_path / "names.csv"), "PATH").startswith(expected)
    assert "secret7" not in problem_text(problem)


def test_every_row_that_can_t_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "b b\nbob\n-x\n")
    assert [problem.line for problem in caught.value.problems] == [1, 3]


def test_passwords_that_others_can_read_are_refused_and_mere_names_are_not(tmp_path: Path) -> None:
    path = private(tmp_path / "names.csv", "bob\n")
    path.chmod(0o644)
    assert revealed(read_names(path)) == {"bob": None}
    path.write_text(f"bob,{PASSWORD}\n")
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        read_names(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_names(tmp_path / "names.csv")
