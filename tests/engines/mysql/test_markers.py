"""What proves that an account or a database is ours: a marker that names its own object, and nothing made by hand."""

import pytest

from dbroster.engines.mysql.access.markers import NEW
from dbroster.engines.mysql.family import MySQLFamily
from dbroster.engines.mysql.handler import MySQLHandler
from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.state import Lock
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import OTHER, PASSWORD, Site, give


def attribute(site: Site, user: str) -> str:
    ((text,),) = site.dba.run(f"SELECT User_attributes->>'$.metadata.dbroster' FROM mysql.user WHERE User = '{user}'")
    return str(text)


@pytest.mark.parametrize("spelling", [r"`{}\_old`", "{}_old", r"`{}\_%`", "`{}%`"])
def test_a_database_made_and_granted_by_hand_is_foreign(site: Site, spelling: str) -> None:
    """A1: whichever way a DBA or a tool spells GRANT ALL, it never becomes an order to drop."""
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    site.dba.run(
        f"CREATE DATABASE {bob}_old",
        f"CREATE TABLE {bob}_old.precious (n INT)",
        f"GRANT ALL PRIVILEGES ON {spelling.format(bob)}.* TO '{bob}'@'%'",
    )
    found = handler.get_existing_databases()[f"{bob}_old"]
    assert found.owner is None
    for change in (handler.drop_database, handler.grant_privileges, handler.create_database):
        with pytest.raises(OperationError):
            change(bob, f"{bob}_old")
    handler.lock_user(bob)
    handler.drop_user(bob)
    assert site.dba.databases(bob) == {f"{bob}_old"}


def test_the_holder_of_a_foreign_database_is_named(site: Site) -> None:
    """A1, C8: for the message of the conflict."""
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    site.dba.run(f"CREATE DATABASE {bob}_old", f"GRANT ALL PRIVILEGES ON `{bob}\\_old`.* TO '{bob}'@'%'")
    assert handler.get_existing_databases()[f"{bob}_old"].holder == bob


def test_a_renamed_account_is_foreign(site: Site) -> None:
    """A4: RENAME USER takes the marker along, which still names the old account."""
    handler, bob, robert = site.open(), site.name(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run(f"RENAME USER '{bob}'@'%' TO '{robert}'@'%'")
    found = handler.get_existing_users()
    assert bob not in found
    assert not found[robert].managed
    assert found[robert].marked_for
    assert found[robert].roster is None
    assert handler.get_existing_databases()[web].owner is None
    for removal in (handler.lock_user, handler.drop_user):
        with pytest.raises(OperationError, match="not managed"):
            removal(robert)
    with pytest.raises(OperationError):
        handler.drop_database(bob, web)


def test_an_account_renamed_to_another_host_is_foreign(site: Site) -> None:
    """A4: the host is a part of the name."""
    handler, bob = site.open(options={"hosts": ("%", "10.%")}), site.name()
    site.open().create_user(bob, Secret(PASSWORD))
    site.dba.run(f"RENAME USER '{bob}'@'%' TO '{bob}'@'10.%'")
    assert not handler.get_existing_users()[bob].managed


def test_a_copied_account_is_foreign(site: Site) -> None:
    """A4: what SHOW CREATE USER gives, under another name."""
    handler, bob, copy = site.open(), site.name(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    give(handler, bob)
    if site.server.engine == "mysql":
        site.dba.run("SET SESSION print_identified_with_as_hex = ON")
    ((statement,),) = site.dba.run(f"SHOW CREATE USER '{bob}'@'%'")
    site.dba.run(statement.replace(f"`{bob}`", f"`{copy}`"))
    found = handler.get_existing_users()
    assert found[bob].managed
    assert not found[copy].managed
    assert found[copy].marked_for


def test_a_renamed_account_that_is_adopted_brings_no_databases_along(site: Site) -> None:
    """A4, A10: what its old marker claimed, and what its new name would make of it, is nobody's."""
    handler, bob, robert = site.open(), site.name(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    give(handler, bob)
    site.dba.run(f"RENAME USER '{bob}'@'%' TO '{robert}'@'%'", f"CREATE DATABASE {robert}_web")
    handler.adopt_user(robert, Secret(OTHER))
    found = handler.get_existing_users()[robert]
    assert (found.managed, found.marked_for) == (True, None)
    assert handler.get_existing_databases()[f"{robert}_web"].owner is None


def test_everything_revoked_by_hand_leaves_account_and_databases_ours(site: Site) -> None:
    """A10: REVOKE ALL takes neither marker nor claim; the next run gives everything back, or removes everything."""
    handler = site.open(site.least())
    bob, web = site.user(handler, "web")
    site.dba.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{bob}'@'%'")
    assert handler.get_existing_users()[bob].managed
    found = handler.get_existing_databases()[web]
    assert (found.owner, found.granted, found.usable, found.droppable) == (bob, False, True, True)
    handler.grant_privileges(bob, web)
    assert handler.get_existing_databases()[web].granted
    site.dba.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{bob}'@'%'")
    for change in (handler.lock_user, lambda user: handler.drop_database(user, web), handler.drop_user):
        change(bob)
    assert site.dba.databases(bob) == set()
    assert site.dba.accounts(bob) == set()


@pytest.mark.parametrize("privilege", ["ALL", "DROP", "SELECT"])
def test_a_revoked_grant_on_one_database_keeps_it_ours(site: Site, privilege: str) -> None:
    """A10: whatever was revoked, a claim without it is mended, or the database removed."""
    handler = site.open()
    bob, web = site.user(handler, "web")
    site.dba.run(f"REVOKE {privilege} ON `{bob}\\_web`.* FROM '{bob}'@'%'")
    found = handler.get_existing_databases()[web]
    assert (found.owner, found.granted, found.droppable) == (bob, False, True)
    handler.drop_database(bob, web)
    assert site.dba.databases(bob) == set()


def test_a_role_named_like_a_user_is_no_account(mariadb: Site) -> None:
    """A11: roles have no host, so they stand in nobody's way."""
    handler = mariadb.open()
    bob, web = mariadb.user(handler, "web")
    mariadb.dba.run(f"CREATE ROLE {bob}")
    try:
        assert handler.get_existing_users()[bob].managed
        handler.update_user_password(bob, Secret(OTHER))
        handler.lock_user(bob)
        handler.drop_database(bob, web)
        handler.drop_user(bob)
        assert mariadb.dba.accounts(bob) == {""}
    finally:
        mariadb.dba.run(f"DROP ROLE {bob}")


def test_a_role_of_another_host_is_no_account(mysql: Site) -> None:
    """A11: MySQL's roles are accounts with a host; one on a host that is not configured stands in nobody's way."""
    handler, bob = mysql.open(), mysql.name()
    handler.create_user(bob, Secret(PASSWORD))
    mysql.dba.run(f"CREATE ROLE '{bob}'@'roles.example'")
    assert handler.get_existing_users()[bob].managed
    handler.lock_user(bob)
    handler.drop_user(bob)
    mysql.dba.run(f"DROP ROLE '{bob}'@'roles.example'")


# --- what a kill leaves -----------------------------------------------------------------------------------------------


def claim(handler: MySQLFamily, user: str) -> None:
    """What is written down before a database is created."""
    assert isinstance(handler, MySQLHandler)
    handler._claim([handler._state.estate(user, f"{user}_web")], NEW)


def test_a_claimed_database_that_is_empty_is_finished_and_a_filled_one_is_foreign(mysql: Site) -> None:
    """A1: nobody but an admin can fill a database that is claimed and was never granted."""
    handler, bob, al = mysql.open(mysql.least()), mysql.name(), mysql.name()
    for user in (bob, al):
        handler.create_user(user, Secret(PASSWORD))
        claim(handler, user)  # killed after this
        mysql.dba.run(f"CREATE DATABASE {user}_web")
    mysql.dba.run(f"CREATE TABLE {al}_web.precious (n INT)")
    found = handler.get_existing_databases()
    assert (found[f"{bob}_web"].owner, found[f"{bob}_web"].usable) == (bob, False)
    assert found[f"{al}_web"].owner is None
    handler.prepare()  # takes the claim back
    assert "templates" not in attribute(mysql, al) or '"web"' not in attribute(mysql, al)
    give(handler, bob)
    assert handler.get_existing_databases()[f"{bob}_web"].granted
    with pytest.raises(OperationError, match="--adopt"):
        handler.create_database(al, f"{al}_web")


@pytest.mark.parametrize(
    "content",
    [
        "CREATE TABLE {}.t (n INT)",
        "CREATE VIEW {}.v AS SELECT 1",
        "CREATE PROCEDURE {}.p() SELECT 1",
        "CREATE EVENT {}.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    ],
)
def test_anything_inside_makes_a_claimed_database_foreign(mysql: Site, content: str) -> None:
    """A1: tables, views, routines and events count."""
    handler, bob = mysql.open(mysql.least()), mysql.name()
    handler.create_user(bob, Secret(PASSWORD))
    claim(handler, bob)
    mysql.dba.run(f"CREATE DATABASE {bob}_web", content.format(f"{bob}_web"))
    assert handler.get_existing_databases()[f"{bob}_web"].owner is None
    with pytest.raises(OperationError, match="filled"):
        handler.create_database(bob, f"{bob}_web")
    assert '"web"' not in attribute(mysql, bob)


def test_an_account_without_its_role_is_ours_by_the_number(mariadb: Site) -> None:
    """A10: killed between CREATE USER and GRANT, or after REVOKE ALL."""
    handler, bob = mariadb.open(), mariadb.name()
    handler.create_user(bob, Secret(PASSWORD))
    mariadb.dba.run(f"REVOKE `dbroster:{mariadb.roster}` FROM '{bob}'@'%'")
    assert handler.get_existing_users()[bob].managed


def test_a_comment_that_its_owner_has_emptied_or_forged_keeps_no_database(mariadb: Site) -> None:
    """B4: the claim stands where the owner can't reach it."""
    handler = mariadb.open(mariadb.least())
    bob, web = mariadb.user(handler, "web")
    for text in ("", "mine", f"dbroster/2 {mariadb.roster} al {web}"):
        mariadb.dba.run_as(bob, PASSWORD, f"ALTER DATABASE {web} COMMENT '{text}'")
        found = handler.get_existing_databases()[web]
        assert (found.owner, found.granted) == (bob, False)
        handler.grant_privileges(bob, web)
        assert handler.get_existing_databases()[web].granted
    mariadb.dba.run_as(bob, PASSWORD, f"ALTER DATABASE {web} COMMENT ''")
    handler.lock_user(bob)
    assert handler.get_existing_databases()[web].droppable
    handler.drop_database(bob, web)
    assert mariadb.dba.databases(bob) == set()


def test_a_copy_of_a_database_names_the_one_that_it_was(mariadb: Site) -> None:
    """A2: mariadb-dump writes the comment; under another name it is foreign."""
    handler = mariadb.open()
    bob, web = mariadb.user(handler, "web")
    mariadb.dba.run(f"CREATE DATABASE {web}_backup COMMENT 'dbroster/2 {mariadb.roster} {bob} {web}'")
    found = handler.get_existing_databases()[f"{web}_backup"]
    assert (found.owner, found.marked_for) == (None, web)


def test_what_outlives_its_account_is_told(mariadb: Site) -> None:
    """A10: the comment knows whose it was."""
    handler = mariadb.open()
    bob, web = mariadb.user(handler, "web")
    mariadb.dba.run(f"DROP USER '{bob}'@'%'")
    found = handler.get_existing_databases()[web]
    assert (found.owner, found.left_by) == (None, bob)


def test_a_limit_that_a_dba_has_set_is_left_as_it_is(mariadb: Site) -> None:
    """A4: an adopted account gets its mark in a resource limit that is not used."""
    handler, bob = mariadb.open(), mariadb.name()
    mariadb.dba.run(f"CREATE USER '{bob}'@'%' IDENTIFIED BY '{OTHER}' WITH MAX_UPDATES_PER_HOUR 77")
    handler.adopt_user(bob, Secret(PASSWORD))
    assert handler.get_existing_users()[bob].managed
    handler.lock_user(bob)
    assert handler.get_existing_users()[bob].lock is Lock.OURS
    handler.update_user_password(bob, Secret(PASSWORD))
    assert (handler.get_existing_users()[bob].managed, handler.get_existing_users()[bob].lock) == (True, Lock.OPEN)


def test_markers_of_version_1_are_foreign(site: Site) -> None:
    """A4: there was no release, so what does not name its account proves nothing."""
    handler, bob = site.open(), site.name()
    site.dba.run(f"CREATE USER '{bob}'@'%' IDENTIFIED BY '{OTHER}'")
    if site.server.engine == "mysql":
        old = f'{{"dbroster": {{"v": 1, "roster": "{site.roster}"}}}}'
        site.dba.run(f"ALTER USER '{bob}'@'%' ATTRIBUTE '{old}'")
    else:
        site.dba.run(f"GRANT `dbroster:{site.roster}` TO '{bob}'@'%'")
    found = handler.get_existing_users()[bob]
    assert (found.managed, found.roster) == (False, None)
    handler.adopt_user(bob, Secret(PASSWORD))
    assert handler.get_existing_users()[bob].managed


def test_users_of_a_batch_each_get_their_own_marker(site: Site) -> None:
    """A4: 100 accounts in one message, each with a marker that names it."""
    handler, users = site.open(), [site.name() for _ in range(20)]
    handler.perform_all([Action(Verb.CREATE_USER, user, None, Secret(PASSWORD)) for user in users])
    owned = [(user, f"{user}_{template}") for user in users for template in ("web", "tools")]
    for verb in handler.creation_order:
        outcomes = handler.perform_all([Action(verb, user, database) for user, database in owned])
        assert {outcome.status for outcome in outcomes} == {Status.DONE}
    found, databases = handler.get_existing_users(), handler.get_existing_databases()
    assert all(found[user].managed for user in users)
    assert all(databases[database].granted and databases[database].owner == user for user, database in owned)
