"""users.txt and template lists: every line is a user, a comment, or a problem with its number; nothing raises."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.errors import ConfigError
from dbroster.files.lines import significant
from dbroster.files.read import Files
from dbroster.model.names import is_name
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster
from dbroster.roster.parse import parse_templates, parse_users, read_roster
from dbroster.roster.source import UsersSource
from tests.support.samples import private


def passwords(roster: Roster) -> dict[str, str]:
    return {name: user.password.reveal() for name, user in roster.users.items()}


def problems(roster: Roster, *, warnings: bool = False) -> list[tuple[int | None, str | None]]:
    return [(p.line, p.user) for p in roster.problems if p.warning is warnings]


# --- lines that are users -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {}),
        (b"bob:pw\n", {"bob": "pw"}),
        (b"bob:pw\r\neve:pw2\r\n", {"bob": "pw", "eve": "pw2"}),
        (b"\xef\xbb\xbfbob:pw\n", {"bob": "pw"}),
        (b"\xef\xbb\xbf# comment\nbob:pw\n", {"bob": "pw"}),
        (b"\n  \n\t\n# a:b\n  # a:b\nbob:pw\n", {"bob": "pw"}),
        (b"bob:a:b#c::\n", {"bob": "a:b#c::"}),
        (b"bob:#pw\n", {"bob": "#pw"}),
        (b" \tbob \t:pw\n", {"bob": "pw"}),
        (b"bob:a b\n", {"bob": "a b"}),
        ("bob:pä😀\n".encode(), {"bob": "pä😀"}),
        (b"b.o_b-1:pw\n", {"b.o_b-1": "pw"}),
        (b"1:pw\n", {"1": "pw"}),
    ],
)
def test_users(data: bytes, expected: dict[str, str]) -> None:
    roster = parse_users(data)
    assert passwords(roster) == expected
    assert roster.problems == ()
    assert roster.mentioned == frozenset()
    assert roster.suspended == ()


def test_users_keep_the_order_and_the_numbers_of_their_lines() -> None:
    roster = parse_users(b"# x\nzoe:1\n\nbob:2\n")
    assert [(u.name, u.line) for u in roster.users.values()] == [("zoe", 2), ("bob", 4)]


# --- lines that can't be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"bob:", b"bob: pw", b"bob:pw ", b"bob:\tpw", "bob:pw\u00a0".encode(), b"root:pw", b"pg_x:pw"],
)
def test_a_user_on_a_bad_line_is_mentioned_and_stops_no_other(line: bytes) -> None:
    name = line.split(b":")[0].decode()
    roster = parse_users(b"ann:pw\n" + line + b"\neve:pw\n")
    assert passwords(roster) == {"ann": "pw", "eve": "pw"}
    assert roster.mentioned == {name}
    assert problems(roster) == [(2, name)]
    assert roster.suspended == ()


@pytest.mark.parametrize(
    "line",
    [
        b"bob", b"bob;pw", b":pw", b" :pw", b"\xff:pw", b"bob:\xff", b"b ob:pw", b"_bob:pw", b"bo'b:pw", b"b\0b:pw",
        "bób:pw".encode(), "ｂob:pw".encode(), b"../x:pw", b"b%b:pw", b"\xef\xbb\xbfbob:pw", "\u202ebob:pw".encode(),
        "\u00a0".encode(), b"\r", b"Str0ng-Pass_word.77:bob", b"Str0ngPassword:bobby-the-great-1",
    ],
)  # fmt: skip
def test_a_line_whose_user_cannot_be_told_suspends_removals(line: bytes) -> None:
    roster = parse_users(b"ann:pw\n" + line + b"\neve:pw\n")
    if line == b"\r":  # white space alone is a blank line
        assert roster.suspended == ()
        return
    assert passwords(roster) == {"ann": "pw", "eve": "pw"}
    assert problems(roster) == [(2, None)]
    assert len(roster.suspended) == 1
    assert "users.txt line 2" in roster.suspended[0]


def test_the_same_user_twice_with_the_same_password_is_a_warning() -> None:
    roster = parse_users(b"bob:pw\nbob:pw\n")
    assert passwords(roster) == {"bob": "pw"}
    assert roster.users["bob"].line == 1
    assert problems(roster, warnings=True) == [(2, "bob")]
    assert problems(roster) == []


def test_the_same_user_twice_with_two_passwords_is_left_alone() -> None:
    roster = parse_users(b"bob:pw\neve:pw\nbob:pw2\n")
    assert passwords(roster) == {"eve": "pw"}
    assert roster.mentioned == {"bob"}
    assert problems(roster) == [(3, "bob")]


def test_a_good_line_does_not_heal_a_bad_one_of_the_same_user() -> None:
    for data in (b"bob:\nbob:pw\n", b"bob:pw\nbob:\n"):
        roster = parse_users(data)
        assert passwords(roster) == {}
        assert roster.mentioned == {"bob"}


def test_names_that_differ_only_in_case_are_all_left_alone() -> None:
    roster = parse_users(b"Bob:pw\neve:pw\nbob:pw\nBOB:pw\n")
    assert passwords(roster) == {"eve": "pw"}
    assert roster.mentioned == {"Bob", "bob", "BOB"}
    assert {line for line, _ in problems(roster)} == {1, 3, 4}


def test_problems_never_quote_a_line() -> None:
    lines = b"s3cret-1\ns3cret-2 x:y\nbob:s3cret-3 \nb b:s3cret-4\neve:s3cret-5\neve:s3cret-6\n\xffs3cret-7\n"
    roster = parse_users(lines)
    assert len(roster.problems) == 6
    assert "s3cret" not in repr((roster.problems, roster.suspended))


def test_a_line_with_its_columns_swapped_tells_no_password_as_a_name() -> None:
    """A7: whose line it is can't be told, so nobody is removed; the "name" was in reports, and in the audit log."""
    roster = parse_users(b"ann:pw\nStr0ng-Pass_word-77:bob\n")
    assert (passwords(roster), roster.mentioned) == ({"ann": "pw"}, frozenset())
    assert [problem.text for problem in roster.problems] == [
        "name and password seem to be swapped: username:password; nothing is removed in this run"
    ]
    assert "Str0ng" not in repr((roster.problems, roster.suspended))
    for line in (
        b"Anna.Mueller-Luedenscheid:pw\n",
        b"Service-Account-01:Str0ng-Pass_word-77\n",
        b"Service-Account-01:s!\n",
    ):
        assert passwords(parse_users(line)).keys() == {line.partition(b":")[0].decode()}


# --- any bytes ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from([b"bob", b"Bob", b"eve", b" eve ", b"root", b"b ob", b"", b"#x", b"\xef\xbb\xbfz", b"\xff"])
WORDS = st.sampled_from([b"pw", b"pw2", b"", b" pw", b"a:b", b"\xff", b"\0", b"pw\r", b"#", "pä".encode()])
LINES = st.one_of(
    st.tuples(NAMES, st.sampled_from([b":", b"", b";"]), WORDS).map(b"".join), st.binary(max_size=12), st.just(b"")
)
FILES = st.one_of(
    st.binary(max_size=200),
    st.lists(LINES, max_size=12).map(b"\n".join),
    st.lists(LINES, max_size=12).map(b"\r\n".join).map(b"\xef\xbb\xbf".__add__),
)


def _is_comment(line: bytes) -> bool:
    return not line.strip() or line.lstrip().startswith(b"#")


def _name(line: bytes) -> str | None:
    """The user of a line, as a person would tell it."""
    head, colon, _ = line.removesuffix(b"\r").partition(b":")
    try:
        line.decode()
        name = head.decode().strip()
    except UnicodeDecodeError:
        return None
    return name if colon and is_name(name) else None


@given(FILES)
def test_every_line_is_a_user_a_comment_or_a_problem(data: bytes) -> None:
    roster = parse_users(data)
    told = {user.line for user in roster.users.values()} | {problem.line for problem in roster.problems}
    doubtful = {line.number for line in significant(data, "users.txt") if line.doubt}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if number in doubtful:
            assert number not in {user.line for user in roster.users.values()}
            assert number in {problem.line for problem in roster.problems}
        elif _is_comment(line):
            assert number not in told
        elif _name(line) in roster.mentioned:
            assert any(problem.user == _name(line) for problem in roster.problems)
        else:
            assert number in told


@given(FILES)
def test_invariant_8_no_line_makes_anybody_removable(data: bytes) -> None:
    roster = parse_users(data)
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if _is_comment(line):
            continue
        name = _name(line)
        if name is None:
            assert roster.suspended
        else:
            assert name in roster.users.keys() | roster.mentioned
    assert not roster.users.keys() & roster.mentioned


@given(FILES)
def test_users_are_names_with_passwords(data: bytes) -> None:
    for name, user in parse_users(data).users.items():
        assert name == user.name
        assert is_name(name)
        assert user.password.reveal() == user.password.reveal().strip() != ""


# --- template lists -------------------------------------------------------------------------------------------------


def test_templates() -> None:
    data = b"\xef\xbb\xbf# all\ntools\r\n\n  web  \nanalytics\n"
    assert parse_templates(data, "x.txt") == (("tools", "web", "analytics"), [])


def test_a_repeated_template_is_a_warning() -> None:
    names, (problem,) = parse_templates(b"web\ntools\nweb\n", "x.txt")
    assert names == ("web", "tools")
    assert (problem.file, problem.line, problem.warning) == ("x.txt", 3, True)


@pytest.mark.parametrize("line", [b"we b", b"_web", b"web;", b"\xff", b"web # x", b"a/b", b"../x", b"a:b"])
def test_a_bad_template_is_a_problem(line: bytes) -> None:
    names, (problem,) = parse_templates(b"tools\n" + line + b"\nweb\n", "x.txt")
    assert names == ("tools", "web")
    assert (problem.file, problem.line, problem.warning) == ("x.txt", 2, False)


@given(FILES)
def test_every_template_line_is_a_template_a_comment_or_a_problem(data: bytes) -> None:
    names, found = parse_templates(data, "x.txt")
    assert len(names) + len(found) == len(list(significant(data, "x.txt")))
    assert len(set(names)) == len(names)
    assert all(is_name(name) for name in names)


# --- both together --------------------------------------------------------------------------------------------------


def _write(directory: Path, users: bytes | None = b"bob:pw\n", templates: bytes | None = b"web\n") -> Path:
    if users is not None:
        private(directory / "users.txt", users)
    if templates is not None:
        (directory / "mysql_databases.txt").write_bytes(templates)
    return directory


def test_a_roster_is_read_from_both_files(tmp_path: Path) -> None:
    roster = read_roster(UsersSource(Files(_write(tmp_path))), "mysql")
    assert roster.databases("bob") == ("bob_web",)
    assert roster.problems == ()


def test_a_missing_users_file_is_an_empty_roster_that_removes_nothing(tmp_path: Path) -> None:
    roster = read_roster(UsersSource(Files(_write(tmp_path, users=None))), "mysql")
    assert roster.users == {}
    assert roster.suspended == ("users.txt is missing",)
    assert problems(roster) == [(None, None)]


def test_an_empty_users_file_is_an_empty_roster(tmp_path: Path) -> None:
    roster = read_roster(UsersSource(Files(_write(tmp_path, users=b""))), "mysql")
    assert (dict(roster.users), roster.suspended, roster.problems) == ({}, (), ())


def test_a_bad_template_line_suspends_removals(tmp_path: Path) -> None:
    roster = read_roster(UsersSource(Files(_write(tmp_path, templates=b"web\nto ols\n"))), "mysql")
    assert roster.templates == ("web",)
    assert roster.suspended == ("mysql_databases.txt line 2 can't be used",)


def test_a_repeated_template_suspends_nothing(tmp_path: Path) -> None:
    assert read_roster(UsersSource(Files(_write(tmp_path, templates=b"web\nweb\n"))), "mysql").suspended == ()


def _config_problems(directory: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        read_roster(UsersSource(Files(directory)), "mysql")
    return caught.value.problems


def test_an_open_users_file_is_refused_with_everything_else_that_is_wrong(tmp_path: Path) -> None:
    _write(tmp_path, b"bob\n", b"we b\n")
    (tmp_path / "users.txt").chmod(0o644)
    found = _config_problems(tmp_path)
    assert "chmod 600" in found[0].text
    assert [(p.file, p.line) for p in found[1:]] == [("users.txt", 1), ("mysql_databases.txt", 1)]


def test_a_template_list_may_be_read_by_all(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "mysql_databases.txt").chmod(0o644)
    assert read_roster(UsersSource(Files(tmp_path)), "mysql").templates == ("web",)


def test_without_a_template_list_nothing_can_start(tmp_path: Path) -> None:
    assert [p.file for p in _config_problems(_write(tmp_path, templates=None))] == ["mysql_databases.txt"]


def test_a_users_file_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, users=None)
    (tmp_path / "users.txt").mkdir()
    assert "not a regular file" in _config_problems(tmp_path)[0].text
