"""`--adopt-from`: a file that names whom to take over."""

from pathlib import Path

import pytest

from dbroster.errors import ConfigError
from dbroster.roster.adopted import read_adopted
from tests.support.samples import private


def refused(tmp_path: Path, data: bytes) -> list[tuple[int | None, str]]:
    with pytest.raises(ConfigError) as caught:
        read_adopted(private(tmp_path / "adopt.txt", data))
    *problems, last = caught.value.problems
    assert last.text.startswith("nobody is taken over before ")
    return [(problem.line, problem.text) for problem in problems]


def test_names_comments_and_blank_lines(tmp_path: Path) -> None:
    path = private(tmp_path / "adopt.txt", b"\xef\xbb\xbf# whom\r\n\r\n  ann \r\nbob\n\t\nann\n # eve\n")
    assert read_adopted(path) == {"ann", "bob"}
    assert read_adopted(private(path, b"")) == frozenset()


@pytest.mark.parametrize(
    ("data", "line", "text"),
    [
        (b"ann\nbob:Secret-7-horse\n", 2, "not a user name"),
        (b"two words\n", 1, "not a user name"),
        (b"\xff\xfe\n", 1, "UTF-16"),
        (b"ann\nb\xfcb\n", 2, "not a user name"),
        (b"ann\n\n--adopt\n", 3, "not a user name"),
        (b"root\n", 1, "system account"),
        (b"pg_monitor\n", 1, "system account"),
        (b"ann\nbo", 2, "may have been cut"),
        (b"ann\vbob\n", 1, "is it two lines"),
    ],
)
def test_lines_that_can_not_be_used(tmp_path: Path, data: bytes, line: int, text: str) -> None:
    ((number, told),) = refused(tmp_path, data)
    assert number == line
    assert text in told
    assert "Secret" not in told


def test_every_bad_line_is_told(tmp_path: Path) -> None:
    assert [line for line, _ in refused(tmp_path, b"a b\nann\nc d\n")] == [1, 3]


def test_a_file_that_is_not_there_or_that_everybody_may_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_adopted(tmp_path / "none")
    path = private(tmp_path / "adopt.txt", "ann\n")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="everybody may write it"):
        read_adopted(path)
    path.chmod(0o644)
    assert read_adopted(path) == {"ann"}
