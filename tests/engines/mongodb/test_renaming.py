"""What is in a database comes through an archive into the database of another user."""

from pathlib import Path

from dbroster.engines import connect
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import OTHER, PASSWORD, Site
from tests.support.archiving import archiving


def test_collections_indexes_and_views_are_the_new_users(site: Site, tmp_path: Path) -> None:
    """A12: and what a DBA has given him besides is told beforehand."""
    robert = User(f"{site.bob}r", Secret(OTHER), 0)
    with connect(archiving(site.connection(), tmp_path)) as handler, site.login(site.bob, PASSWORD) as client:
        site.make(handler)
        client[site.web].notes.insert_many([{"n": 1, "text": "a"}, {"n": 2, "text": "b"}])
        client[site.web].notes.create_index("n", unique=True)
        site.dba.admin.command("grantRolesToUser", site.bob, roles=[{"role": "read", "db": "other"}])
        (told,) = handler.renamer().obstacles(site.bob, [site.web])
        assert "the role read on other" in told
        site.dba.admin.command("revokeRolesFromUser", site.bob, roles=[{"role": "read", "db": "other"}])
        assert list(handler.renamer().obstacles(site.bob, [site.web])) == []
        handler.create_user(robert.name, robert.password)
        handler.grant_privileges(robert.name, f"{robert.name}_web")
        handler.create_database(robert.name, f"{robert.name}_web")
        handler.lock_user(site.bob)
        handler.renamer().move(site.bob, site.web, robert, f"{robert.name}_web")
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)
        with site.login(robert.name, OTHER) as his:
            notes = his[f"{robert.name}_web"].notes
            assert [(row["n"], row["text"]) for row in notes.find().sort("n")] == [(1, "a"), (2, "b")]
            assert notes.index_information()["n_1"]["unique"]
        handler.drop_database(robert.name, f"{robert.name}_web")
        handler.drop_user(robert.name)
