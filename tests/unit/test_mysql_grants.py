"""Names in database-level grants, what they reach, and what they prove; and what SHOW GRANTS says of the admin."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dbroster.engines.mysql_databases import describe
from dbroster.engines.mysql_grants import Grant, GrantTable, Rules, escaped, privileges, reaches, unescaped
from dbroster.engines.mysql_privileges import held, missing_grants

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
    row = {"User": "bob", "Select_priv": "Y", "Drop_priv": "N", "Create_tmp_table_priv": "Y", "Grant_priv": "Y"}
    assert privileges(row) == {"SELECT", "CREATE TEMPORARY TABLES", "GRANT OPTION"}


def test_only_a_full_exact_grant_on_an_own_name_proves() -> None:
    assert rules().proves(grant("bob", "bob\\_web"), "bob_web")
    assert not rules().proves(grant("bob", "bob_web"), "bob_web")
    assert not rules().proves(grant("bob", "al\\_web"), "al_web")
    assert not rules().proves(grant("bob", "bob\\_web", ALL - {"DROP"}), "bob_web")
    assert not rules().proves(grant("bob", "bob\\_web"), "bobXweb")
    assert rules(literal=True).proves(grant("bob", "bob_web"), "bob_web")
    # what dbroster granted before partial_revokes was switched on
    assert rules(literal=True).proves(grant("bob", "bob\\_web"), "bob_web")


def test_a_configuration_that_only_reads_gives_no_order_to_drop() -> None:
    reading = rules(wanted=frozenset({"SELECT"}))
    assert reading.claims(grant("bob", "bob\\_web", frozenset({"SELECT"})), "bob_web")
    assert not reading.proves(grant("bob", "bob\\_web", frozenset({"SELECT"})), "bob_web")


def test_a_claim_needs_drop_or_everything_in_either_spelling() -> None:
    assert rules().claims(grant("bob", "bob_web", frozenset({"DROP"})), "bob_web")
    assert not rules().claims(grant("bob", "bob\\_web", frozenset({"SELECT"})), "bob_web")
    assert not rules().claims(grant("bob", "bob\\_%"), "bob_web")


def test_case_is_folded_where_the_server_folds() -> None:
    folding = rules(fold=True)
    assert folding.proves(grant("Bob", "bob\\_web"), "Bob_Web")
    assert folding.complete([grant("Bob", "bob\\_web")], "Bob_web")


def test_of_two_owners_the_stronger_one_counts_and_equals_exclude_each_other() -> None:
    weak, strong = grant("a", "a\\_b\\_c", frozenset({"DROP"})), grant("a_b", "a\\_b\\_c")
    assert describe(["a_b_c"], GrantTable([weak, strong], rules()), {}, rules())["a_b_c"].owner == "a_b"
    equal = describe(["a_b_c"], GrantTable([grant("a", "a\\_b\\_c"), strong], rules()), {}, rules())["a_b_c"]
    assert equal.owner is None
    assert "a and a_b" in str(equal.protected)


def test_system_databases_are_protected() -> None:
    assert all(db.protected for db in describe(["mysql", "sys"], GrantTable([], rules()), {}, rules()).values())


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
