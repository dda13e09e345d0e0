"""What is in a database comes through an archive into the database of another user, who defines it then."""

import io
from contextlib import closing
from pathlib import Path

from dbroster.archive import Archive, Manifest
from dbroster.engines.mysql.archive.definers import defined_by
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import OTHER, PASSWORD, Site, give
from tests.engines.mysql.test_archive import least

CONTENT = (
    "CREATE TABLE t (n INT PRIMARY KEY, twice INT AS (n * 2) STORED, said TEXT)",
    "CREATE TABLE log (n INT, KEY (n), FOREIGN KEY (n) REFERENCES t (n))",
    "CREATE VIEW v AS SELECT n, twice FROM t",
    "CREATE TRIGGER keep AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES (NEW.n)",
    "CREATE PROCEDURE add_one() INSERT INTO t (n, said) SELECT MAX(n) + 1, 'added' FROM t",
    "CREATE FUNCTION half(x INT) RETURNS INT DETERMINISTIC RETURN x DIV 2",
    "CREATE EVENT later ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01' DO DELETE FROM log",
    "INSERT INTO t (n, said) VALUES (1, 'CREATE DEFINER=`x`@`%` VIEW'), (2, '\\n/*!50013 DEFINER=`{bob}`@`%` */')",
)


def test_views_triggers_routines_and_events_are_the_new_users(site: Site, tmp_path: Path) -> None:
    """A12: they work, and name nobody who is gone; by the least privileged admin. Rows stay as they are."""
    handler = site.archiving(tmp_path, least(site))
    bob, web = site.user(handler, "web")
    robert = site.name()
    with site.setting("log_bin_trust_function_creators", "1", "0"):
        with closing(site.dba.login(bob, PASSWORD, web)) as raw, raw.cursor() as cursor:
            for statement in CONTENT:
                cursor.execute(statement.replace("{bob}", bob))
        handler.create_user(robert, Secret(OTHER))
        new = give(handler, robert)
        ((logs,),) = site.dba.run("SELECT @@log_bin")
        with site.setting("log_bin_trust_function_creators", "0", "1"):
            told = list(handler.renamer().obstacles(bob, [web]))
        assert ["log_bin_trust_function_creators" in text for text in told] == [True] * logs
        assert list(handler.renamer().obstacles(bob, [web])) == []
        handler.lock_user(bob)
        handler.renamer().move(bob, web, User(robert, Secret(OTHER), 0), new)
    handler.drop_database(bob, web)
    handler.drop_user(bob)
    with closing(site.dba.login(robert, OTHER, new)) as raw, raw.cursor() as cursor:
        cursor.execute("CALL add_one()")
        cursor.execute("SELECT v.n, v.twice, half(v.n), said FROM v JOIN t USING (n) JOIN log USING (n) ORDER BY n")
        texts = ("CREATE DEFINER=`x`@`%` VIEW", f"\n/*!50013 DEFINER=`{bob}`@`%` */", "added")
        assert [*cursor.fetchall()] == [(n, 2 * n, n // 2, text) for n, text in enumerate(texts, start=1)]
        cursor.execute(f"SELECT EVENT_NAME, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{new}'")
        assert [*cursor.fetchall()] == [("later", f"{robert}@%")]


def test_what_a_dba_has_given_is_told(site: Site, tmp_path: Path) -> None:
    """A12: the new account would not have it."""
    handler = site.archiving(tmp_path)
    bob, web = site.user(handler, "web")
    other, role = site.name(), site.name()
    site.dba.run(f"CREATE DATABASE {other}", f"GRANT SELECT ON {other}.* TO {bob}", f"CREATE ROLE {role}")
    site.dba.run(f"GRANT {role} TO {bob}")

    def told() -> list[str]:
        handler.get_existing_users()
        handler.get_existing_databases()
        return list(handler.renamer().obstacles(bob, [web]))

    (text,) = told()
    assert f"SELECT on {other}" in text
    assert f"the role {role}" in text
    site.dba.run(f"REVOKE SELECT ON {other}.* FROM {bob}", f"DROP ROLE {role}")
    assert told() == []


def test_own_databases_that_name_each_other_are_told(site: Site, tmp_path: Path) -> None:
    """Y3: the copy could not be made, and its user was shut out from the old one and the new one for good."""
    handler = site.archiving(tmp_path, least(site))
    bob, web, tools = site.user(handler, "web", "tools")
    site.dba.run_as(
        bob, PASSWORD, f"CREATE TABLE {web}.p (n INT PRIMARY KEY) ENGINE = InnoDB",
        f"CREATE TABLE {tools}.c (n INT, CONSTRAINT k FOREIGN KEY (n) REFERENCES {web}.p (n)) ENGINE = InnoDB",
        f"CREATE VIEW {tools}.v AS SELECT n FROM {web}.p", f"CREATE VIEW {tools}.own AS SELECT n FROM {tools}.c",
    )  # fmt: skip
    key, view = handler.renamer().obstacles(bob, [tools, web])
    assert f"{tools}.c refers to {web}" in key
    assert f"the view {tools}.v reads {web}" in view
    site.dba.run_as(bob, PASSWORD, *(text.rpartition(": ")[2] for text in (key, view)))
    assert list(handler.renamer().obstacles(bob, [tools, web])) == []


def test_only_what_makes_something_changes_its_definer(tmp_path: Path) -> None:
    """A12: never a row, also where it is longer than a piece that is read."""
    row = b"INSERT INTO t VALUES ('" + b"x" * 3_000_000 + b"CREATE DEFINER=`bob`@`%` ');\n"
    text = b"/*!50013 DEFINER=`bob`@`%` SQL SECURITY DEFINER */\nCREATE DEFINER=`ann`@`%` VIEW\n" + row
    path = tmp_path / "a.sql"
    path.write_bytes(text)
    manifest = Manifest("mysql", "", "", "", "bob", "bob_web", "", "", 0, "")
    with defined_by(Archive(path, manifest), "robert", lambda: "robert@10.%") as source:
        assert source.read() == text.replace(b"13 DEFINER=`bob`@`%`", b"13 DEFINER=`robert`@`10.%`")
    with defined_by(Archive(path, manifest), "bob", lambda: "") as source:
        assert isinstance(source, io.BufferedReader)
        assert source.read() == text
