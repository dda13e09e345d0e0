"""Names in database-level grants and what they reach, what proves whose a database is, and what SHOW GRANTS says."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dbroster.engines.mysql.access.accounts import Account, Ownership
from dbroster.engines.mysql.access.admin_privileges import held, missing_grants
from dbroster.engines.mysql.access.database_owners import Claims, Survey
from dbroster.engines.mysql.access.grants import Grant, GrantTable, Rules, escaped, privileges, reaches, unescaped
from dbroster.engines.mysql.access.markers import comment
from dbroster.model.state import ExistingDatabase

ALL = frozenset({"SELECT", "CREATE", "DROP"})
NAMES = st.text(st.sampled_from("ab_%\\-."), min_size=1, max_size=12)


def rules(*, wanted: frozenset[str] = ALL, literal: bool = False, fold: bool = False) -> Rules:
    return Rules(wanted, ("%",), literal, str.lower if fold else str)


def grant(user: str, pattern: str, held: frozenset[str] = ALL, host: str = "%") -> Grant:
    return Grant(user, host, pattern, held)


@given(NAMES)
def test_an_escaped_name_reads_back(name: str) -> None:
    assert unescaped(escaped(name)) == name


@given(NAMES, NAMES)
def test_an_escaped_name_reaches_itself_and_nothing_else(name: str, other: str) -> None:
    assert reaches(escaped(name), other) == (name == other)


@given(NAMES, NAMES)
def test_patterns_match_as_sql_does(pattern: str, name: str) -> None:
    bare = pattern.replace("\\", "")
    expression = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in bare)
    assert reaches(bare, name) == (re.fullmatch(expression, name, re.DOTALL) is not None)


def test_privileges_are_named_by_their_columns() -> None:
    columns = ("Select_priv", "Drop_priv", "Create_tmp_table_priv", "Grant_priv")
    assert privileges(columns, "YNYY") == {"SELECT", "CREATE TEMPORARY TABLES", "GRANT OPTION"}


def test_case_is_folded_where_the_server_folds() -> None:
    assert rules(fold=True).complete([grant("Bob", "bob\\_web")], "Bob_web")


# --- whose a database is ----------------------------------------------------------------------------------------------


def survey(
    databases: dict[str, str],
    *accounts: Account,
    grants: tuple[Grant, ...] = (),
    filled: tuple[str, ...] = (),
    commenting: bool = False,
) -> dict[str, ExistingDatabase]:
    """What is said of databases with these comments, beside these accounts."""
    ownership = Ownership("default", ("%",), frozenset(), "admin")
    table = GrantTable(grants, rules())
    claims = Claims(accounts, ownership, rules())
    return Survey(databases, claims, table, grants, rules(), ownership, filled, commenting).described


def owner(name: str, **claims: bool) -> Account:
    return Account(name, "%", "default", claims=claims)


def test_a_grant_alone_proves_nothing() -> None:
    """A1: a grant that somebody makes by hand never becomes a proof."""
    found = survey({"bob_web": ""}, owner("bob"), grants=(grant("bob", "bob\\_web"),))
    assert found["bob_web"].owner is None


def test_a_claim_without_a_grant_is_ours() -> None:
    """A10: an own claim outlives the grant."""
    found = survey({"bob_web": ""}, owner("bob", web=True))["bob_web"]
    assert (found.owner, found.granted, found.usable) == ("bob", False, True)


def test_what_was_claimed_and_never_created_is_ours_only_while_it_is_empty() -> None:
    """A1: nobody but an admin can have filled a database that has no grant yet."""
    empty = survey({"bob_web": ""}, owner("bob", web=False))["bob_web"]
    assert (empty.owner, empty.usable) == ("bob", False)
    assert survey({"bob_web": ""}, owner("bob", web=False), filled=("bob_web",))["bob_web"].owner is None


def test_a_claim_counts_before_any_comment() -> None:
    """A1, B4: the owner can change the comment, and neither keeps nor gives away the database with it."""
    theirs = owner("bob", web=True)
    for text in ("", "mine", comment("default", "al", "bob_web"), comment("other", "bob", "bob_web")):
        found = survey({"bob_web": text}, theirs, owner("al"), commenting=True)["bob_web"]
        assert (found.owner, found.granted) == ("bob", False)


def test_a_comment_counts_where_no_claim_says_anything() -> None:
    """A2, A10: it has to name this database, and an account that is ours."""
    mark = comment("default", "bob", "bob_web")
    assert survey({"bob_web": mark}, owner("bob"), commenting=True)["bob_web"].owner == "bob"
    copied = survey({"bob_copy": mark}, owner("bob"), commenting=True)["bob_copy"]
    assert (copied.owner, copied.marked_for) == (None, "bob_web")
    left = survey({"bob_web": mark}, commenting=True)["bob_web"]
    assert (left.owner, left.left_by) == (None, "bob")
    other = survey({"bob_web": comment("other", "bob", "bob_web")}, owner("bob"), commenting=True)["bob_web"]
    assert "'other'" in str(other.protected)


def test_two_who_claim_the_same_exclude_each_other() -> None:
    found = survey({"a_b_c": ""}, owner("a", b_c=True), owner("a_b", c=True))["a_b_c"]
    assert found.owner is None
    assert "a and a_b" in str(found.protected)


def test_system_databases_are_protected() -> None:
    assert all(db.protected for db in survey({"mysql": "", "sys": ""}).values())


# --- the admin --------------------------------------------------------------------------------------------------------


def test_the_admins_grants_are_read_line_by_line() -> None:
    found = held(
        [
            "GRANT CREATE USER, PROCESS ON *.* TO `adm`@`%` IDENTIFIED BY PASSWORD '*AB'",
            "GRANT SELECT, CREATE, ALTER, DROP ON `%\\_web`.* TO `adm`@`%` WITH GRANT OPTION",
            "GRANT SELECT, CREATE, ALTER, DROP ON `%\\_tools`.* TO `adm`@`%`",
            "GRANT SELECT ON `mysql`.`user` TO `adm`@`%`",
            "GRANT `role`@`%` TO `adm`@`%`",
            "REVOKE SELECT ON `mysql`.* FROM `adm`@`%`",
        ]
    )
    assert found.has("PROCESS")
    assert not found.has("SUPER")
    needed = ("SELECT", "CREATE", "DROP")
    assert missing_grants(found, "'adm'@'%'", needed, ["web", "tools"], literal=False) == [
        "GRANT SELECT, CREATE, DROP, ALTER ON `%\\_tools`.* TO 'adm'@'%' WITH GRANT OPTION;"
    ]
    assert missing_grants(found, "'adm'@'%'", needed, ["web"], literal=True) == [
        "GRANT SELECT, CREATE, DROP, ALTER ON *.* TO 'adm'@'%' WITH GRANT OPTION;"
    ]
    root = held(["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"])
    assert missing_grants(root, "'root'@'%'", needed, ["web"], literal=True) == []


def test_what_an_admin_may_take_away_is_what_it_may_give() -> None:
    found = held(["GRANT SELECT, DROP ON `%\\_web`.* TO `adm`@`%` WITH GRANT OPTION"])
    some = ("SELECT", "DELETE HISTORY", "GRANT OPTION")
    assert found.revocable("bob\\_web", some, literal=False) == {"SELECT", "GRANT OPTION"}
    assert found.revocable("bob_web", some, literal=False) == frozenset()
    assert found.revocable("bob\\_old", some, literal=False) == frozenset()
    root = held(["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"])
    assert root.revocable("bob_web", some, literal=False) == set(some)
