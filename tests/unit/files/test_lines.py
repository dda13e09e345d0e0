"""A7: lines that may not be whole: nobody on them is changed, and nothing is removed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.files.lines import ends_whole, significant
from dbroster.files.read import Files
from dbroster.roster.parse import parse_templates, parse_users, read_roster
from dbroster.roster.source import UsersSource
from dbroster.run.sync import load
from tests.support.samples import CONNECTIONS, config, private

ENDS = ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
"""What some program takes for the end of a line: str.splitlines, editors, JavaScript, old Macs."""

OTHERS = ["\0", "\x04", "\x1a", "\x1f", "\x7f", "\x9b", "\ufeff", "\r\r"]
"""The end of a file on DOS, what a crash leaves in a file, and the beginning of a second file."""


def judged(data: bytes) -> tuple[set[str], set[str], list[tuple[int | None, str | None]], bool]:
    """Return who is used, who is left as found, the problems, and whether removals are suspended."""
    roster = parse_users(data)
    problems = [(problem.line, problem.user) for problem in roster.problems if not problem.warning]
    return set(roster.users), set(roster.mentioned), problems, bool(roster.suspended)


@pytest.mark.parametrize("end", ENDS + OTHERS)
def test_two_lines_glued_by_what_some_program_takes_for_an_end(end: str) -> None:
    """A7: the first user keeps the password, and the second one is not removed."""
    data = f"ann:pw\nbob:pw{end}eve:pw\nzoe:pw\n".encode()
    assert judged(data) == ({"ann", "zoe"}, {"bob"}, [(2, "bob")], True)
    (problem,) = parse_users(data).problems
    assert f"U+{ord(end[0]):04X}" in problem.text
    assert "nothing is removed in this run" in problem.text


@pytest.mark.parametrize("end", ENDS + OTHERS)
def test_a_user_hidden_in_a_comment_or_a_name(end: str) -> None:
    """A7: a comment that swallows the line behind it, and a name that swallows the one before it."""
    assert judged(f"ann:pw\n# old{end}bob:pw\n".encode()) == ({"ann"}, set(), [(2, None)], True)
    assert judged(f"ann:pw\nbob{end}eve:pw\n".encode()) == ({"ann"}, set(), [(2, None)], True)


@pytest.mark.parametrize("end", ENDS + OTHERS)
def test_two_templates_glued(end: str) -> None:
    """A7: neither of them is in the list, and the problem suspends removals."""
    names, (problem,) = parse_templates(f"web\ntools{end}data\n".encode(), "x.txt")
    assert names == ("web",)
    assert (problem.line, problem.warning) == (2, False)


@pytest.mark.parametrize(
    ("last", "user"),
    [
        (b"bob:Corr", "bob"), (b"bo", None), (b"bob:", "bob"), (b"bob:p\xc3", None), (b"bob:pw\r", "bob"), (b"#", None),
        (b"# a comm", None), (b"  ", None), (b"\xef", None), (b"\0\0\0", None),
    ],
)  # fmt: skip
def test_a_file_that_was_cut(last: bytes, user: str | None) -> None:
    """A7: wherever in a line it was cut, even in a comment, who stood behind it is not removed."""
    left = {user} if user else set()
    assert judged(b"ann:pw\n" + last) == ({"ann"}, left, [(2, user)], True)


def test_the_message_says_how_to_end_the_line() -> None:
    """A7: per place that a roster comes from."""
    for file, mend in (
        ("users.txt", "echo >> users.txt"),
        ("users.txt.age", "end it with dbroster edit"),
        ("users_command", "let the program end its output with a line end"),
    ):
        (problem,) = parse_users(b"ann:pw", file).problems
        assert mend in problem.text
    _, (problem,) = parse_templates(b"analyt", "mysql_databases.txt")
    assert "echo >> mysql_databases.txt" in problem.text


def test_a_template_list_that_was_cut(tmp_path: Path) -> None:
    """A7: `analyt` is no new template, and `analytics` no old one."""
    private(tmp_path / "users.txt", b"ann:pw\n")
    private(tmp_path / "mysql_databases.txt", b"web\nanalyt")
    roster = read_roster(UsersSource(Files(tmp_path)), "mysql")
    assert roster.templates == ("web",)
    assert roster.suspended == ("mysql_databases.txt line 2 can't be used",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_another_encoding(encoding: str) -> None:
    """A7: nobody is created with zeros in the password, nobody is removed."""
    users, _, problems, suspended = judged("ann:pw\nbob:pw\n".encode(encoding))
    assert (users, suspended) == (set(), True)
    assert problems
    assert parse_templates("web\ndata\n".encode(encoding), "x.txt")[0] == ()


def test_a_file_in_utf_16_is_told_as_such() -> None:
    """A7: what to do about it."""
    assert "save it as UTF-8" in parse_users("ann:pw\n".encode("utf-16")).problems[0].text


def test_what_is_no_doubt() -> None:
    """A7: CRLF on all or some lines, TAB, letters beyond ASCII, blank lines, a byte order mark in front."""
    data = "\ufeffann:pw\r\n\r\nbob:p\tw\n  \n\f\nzoë:x\n".replace("zoë", "zoe").encode() + "eve:pä\u00a0😀\n".encode()
    assert judged(data) == ({"ann", "bob", "zoe", "eve"}, set(), [], False)
    for whole in (b"", b"\xef\xbb\xbf", b"\n", b"# nobody\n"):
        assert judged(whole) == (set(), set(), [], False)


def test_a_doubtful_line_does_not_heal_another_one() -> None:
    """A7: a user on a whole line, too, is left as found."""
    assert judged(b"bob:pw\nbob:pw\x0bx\n") == (set(), {"bob"}, [(2, "bob"), (2, "bob")], True)


NAMES = st.sampled_from(["ann", "bob", "eve", "zoe"])
WHOLE = st.lists(
    st.tuples(NAMES, st.sampled_from(["pw", "a:b", "pä"])), min_size=1, max_size=6, unique_by=lambda u: u[0]
)


@given(WHOLE, st.data())
def test_a_file_cut_anywhere_removes_only_at_a_line_end(users: list[tuple[str, str]], data: st.DataObject) -> None:
    """A7: every prefix of a file is told as cut, but for those that end with a line."""
    whole = "".join(f"{name}:{password}\n" for name, password in users).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    roster = parse_users(cut)
    assert bool(roster.suspended) == (cut != b"" and not cut.endswith(b"\n"))
    for name, user in roster.users.items():
        assert dict(users)[name] == user.password.reveal()


@given(WHOLE, st.sampled_from(ENDS + OTHERS), st.data())
def test_a_file_glued_anywhere_changes_and_removes_nobody(
    users: list[tuple[str, str]], end: str, data: st.DataObject
) -> None:
    """A7: whichever line end was replaced, no password is anything but what it was."""
    whole = "".join(f"{name}:{password}\n" for name, password in users)
    at = data.draw(st.sampled_from([index for index, character in enumerate(whole) if character == "\n"]))
    roster = parse_users((whole[:at] + end + whole[at + 1 :]).encode())
    assert roster.suspended
    for name, user in roster.users.items():
        assert dict(users)[name] == user.password.reveal()


@given(st.binary(max_size=200))
def test_lines_are_numbered_as_they_stand(data: bytes) -> None:
    for line in significant(data, "x"):
        raw = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")[line.number - 1]
        assert line.raw in (raw, raw.removesuffix(b"\r"))
    assert ends_whole(data) or list(significant(data, "x"))[-1].doubt


def test_connections_that_were_cut(tmp_path: Path) -> None:
    """A7: `protected: [a, b]` or `archive_dir` may have stood in the rest."""
    config(tmp_path, "ann:pw\n", connections=CONNECTIONS + "  removals: {grace_days: 1}")
    (connection,), roster = load(UsersSource(Files(tmp_path)), "postgresql")
    assert connection.removals.grace_days == 1
    assert roster.suspended == ("connections.yaml may not be whole",)
    assert f"echo >> {tmp_path}/connections.yaml" in roster.problems[0].text
    config(tmp_path, "ann:pw\n")
    assert load(UsersSource(Files(tmp_path)), "postgresql")[1].suspended == ()
