"""Tables move from one database to another, and what can't move is told beforehand."""

from collections.abc import Sequence

import pytest

from dbroster.errors import OperationError
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.clickhouse.adapter import quoted
from tests.engines.clickhouse.conftest import PASSWORD, Site, make

TABLE = "CREATE TABLE {d}.t (x UInt64) ENGINE = MergeTree ORDER BY x"


def _receiver(site: Site) -> tuple[User, str]:
    robert = f"{site.user}r"
    return User(robert, Secret(PASSWORD), 0), make(site.handler, robert)


def test_tables_move_with_all_that_is_in_them(site: Site) -> None:
    """A12: whatever they are called; broken off and done again it goes on."""
    robert, new = _receiver(site)
    site.ask(
        TABLE, "INSERT INTO {d}.t VALUES (7)", "CREATE TABLE {d}.`o``dd ü` (x UInt8) ENGINE = Log",
        "INSERT INTO {d}.`o``dd ü` VALUES (8)", "ALTER TABLE {d}.t DETACH PARTITION tuple()",
        "CREATE TABLE {d}.k (x UInt8) ENGINE = Memory", "INSERT INTO {d}.k VALUES (9)",
    )  # fmt: skip
    assert list(site.handler.renamer().obstacles(site.user, [site.database])) == []
    site.handler.lock_user(site.user)
    site.dba(f"RENAME TABLE {{d}}.k TO {quoted(new)}.k")
    site.handler.renamer().move(site.user, site.database, robert, new)
    site.handler.renamer().move(site.user, site.database, robert, new)
    assert site.dba(f"SELECT * FROM {quoted(new)}.`o``dd ü`") == "8"
    assert site.dba(f"SELECT * FROM {quoted(new)}.k") == "9"
    site.dba(f"ALTER TABLE {quoted(new)}.t ATTACH PARTITION tuple()")
    assert site.adapter.ask(robert.name, PASSWORD, f"SELECT * FROM {quoted(new)}.t").strip() == "7"
    site.handler.drop_database(site.user, site.database)
    site.handler.drop_user(site.user)


def test_a_table_that_is_there_keeps_the_other_one(site: Site) -> None:
    """A12: nothing is ever written over."""
    robert, new = _receiver(site)
    site.ask(TABLE)
    site.dba(f"CREATE TABLE {quoted(new)}.t (x UInt8) ENGINE = Log")
    with pytest.raises(OperationError):
        site.handler.renamer().move(site.user, site.database, robert, new)
    assert site.dba("SELECT count() FROM {d}.t") == "0"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (("CREATE VIEW {d}.v AS SELECT 1",), "{p}.v is a View, which does not move"),
        (("CREATE MATERIALIZED VIEW {d}.m ENGINE = Log AS SELECT x FROM {d}.t",), "{p}.m is a MaterializedView"),
        (("CREATE TABLE {d}.b AS {d}.t ENGINE = Buffer({d}, t, 1, 9, 9, 9, 9, 9, 9)",), "{p}.b names {p}"),
        (("GRANT SELECT ON db.* TO {u}",), "would not have: SELECT ON db; take it away first"),
        (("CREATE ROLE {u}r", "GRANT {u}r TO {u}"), "the role {u}r"),
        (("ALTER USER {u} VALID UNTIL '2099-01-01'",), "VALID UNTIL '2099-01-01"),
        (("DETACH TABLE {d}.t PERMANENTLY",), "{p}.t is detached"),
        (("CREATE ROW POLICY p ON {d}.t USING x = 1 TO CURRENT_USER",), "DROP ROW POLICY `p` ON"),
    ],
)  # fmt: skip
def test_what_does_not_move_is_told(site: Site, statements: Sequence[str], reason: str) -> None:
    """A12: in one sentence, with what to do first."""
    site.ask(TABLE)
    site.names["u"] = site.user
    site.dba(*statements)
    told = [*site.handler.renamer().obstacles(site.user, [site.database])]
    assert any(reason.format(**site.names) in text for text in told), told


@pytest.mark.parametrize("site", [{"privileges": ("SELECT",)}], indirect=True)
def test_without_the_privileges_to_move(site: Site) -> None:
    """A12: what connections.yaml does not give users, the admin need not have."""
    (reason,) = site.handler.renamer().obstacles(site.user, [site.database])
    assert "INSERT, CREATE TABLE, DROP TABLE" in reason
