"""Names of users and templates, and the databases that two users would share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.model.names import NAME, did_you_mean, is_name, shared_databases, system_account, tag31

NAMES = st.from_regex(NAME, fullmatch=True)


@pytest.mark.parametrize("text", ["a", "A", "7", "a.b", "a_b-c", "developer1", "x" * 300])
def test_names(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", " ", "a ", " a", "_a", ".a", "-a", "a b", "a\n", "a'", 'a"', "a`", "a;", "a/b", "a\\b", "ä", "٣", "ａ",
             "a\0", "a@b", "a%", "a$", "a:b", "a\u200b"],
)  # fmt: skip
def test_no_names(text: str) -> None:
    assert not is_name(text)


@given(st.text())
def test_a_name_holds_nothing_that_a_statement_could_trip_over(text: str) -> None:
    if is_name(text):
        assert text.isascii()
        assert text[0].isalnum()
        assert not set(text) & set(" \t\r\n\0'\"`\\;:%$@/*()")


@pytest.mark.parametrize(
    "name", ["root", "ROOT", "Postgres", "mysql.sys", "mysql.anything", "pg_monitor", "PG_x", "rdsadmin", "default"]
)
def test_system_accounts_of_every_engine(name: str) -> None:
    assert system_account(name)


@pytest.mark.parametrize("name", ["bob", "roots", "rooted", "pgbob", "mysqlbob", "admin2"])
def test_other_accounts(name: str) -> None:
    assert not system_account(name)


def test_two_ways_to_compose_a_name_refuse_both_users() -> None:
    databases = {"a": ["a_b_c", "a_c"], "a_b": ["a_b_b_c", "a_b_c"], "z": ["z_c"]}
    assert shared_databases(databases, str) == {"a": ("a_b", "a_b_c"), "a_b": ("a", "a_b_c")}


def test_case_matters_only_where_the_server_says_so() -> None:
    databases = {"a": ["a_Web"], "A": ["A_web"]}
    assert shared_databases(databases, str) == {}
    assert shared_databases(databases, str.casefold) == {"a": ("A", "a_web"), "A": ("a", "a_web")}


def test_one_user_may_meet_itself_after_folding() -> None:
    assert shared_databases({"a": ["a_Web", "a_web"]}, str.casefold) == {"a": ("a", "a_web")}


@given(st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=4), max_size=5))
def test_who_is_not_named_shares_nothing(templates: dict[str, list[str]]) -> None:
    databases = {user: [f"{user}_{name}" for name in names] for user, names in templates.items()}
    shared = shared_databases(databases, str)
    free = [name for user, names in databases.items() if user not in shared for name in names]
    assert len(free) == len(set(free))
    for user, (other, database) in shared.items():
        assert database in databases[user]
        assert database in databases[other]
        assert other in shared


def test_did_you_mean() -> None:
    assert did_you_mean("hots", ["host", "port"]) == "; did you mean 'host'?"
    assert did_you_mean("zzz", ["host", "port"]) == ""
    assert did_you_mean("host", []) == ""


def test_a_marker_that_is_a_number_fits_one_text_only() -> None:
    assert tag31("dbroster/2 default bob bob_web") == 1_279_428_734
    assert all(2**30 <= tag31(str(number)) < 2**31 for number in range(1000))
    assert len({tag31(str(number)) for number in range(1000)}) == 1000
