"""Invariant 10: a marker names its object. What a DBA's hands make, copy or move is never taken for dbroster's."""

from typing import Any

import pytest

from dbroster.errors import OperationError
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import OTHER, Site


def copy_account(site: Site, new: str, **changes: Any) -> None:
    """As a restored dump does, or whoever writes into the collection of accounts."""
    account = {**site.account(), "_id": f"admin.{new}", "user": new, **changes}
    del account["userId"]
    site.dba.admin["system.users"].insert_one(account)


def mark(site: Site, **marker: Any) -> None:
    site.dba.admin.command("updateUser", site.bob, customData={"dbroster": marker})


def test_a_new_marker_names_its_account_and_its_databases(site: Site) -> None:
    with site.handler() as handler:
        site.make(handler)
    marker = {"v": 2, "roster": "default", "user": site.bob, "databases": [site.web]}
    assert site.account()["customData"] == {"dbroster": marker}


def test_a_copied_account_is_foreign_and_nothing_of_it_is_changed(site: Site) -> None:
    """A4: a copy carries bob's marker word for word; it is not bob."""
    robert = f"{site.bob}rt"
    with site.handler() as handler:
        site.make(handler)
        copy_account(site, robert)
        found = handler.get_existing_users()
        assert (found[robert].managed, found[robert].roster, found[robert].marked_for) == (False, None, site.bob)
        assert (found[site.bob].managed, found[site.bob].marked_for) == (True, None)
        for change in (handler.lock_user, handler.drop_user):
            with pytest.raises(OperationError, match="left alone"):
                change(robert)
        with pytest.raises(OperationError, match="left alone"):
            handler.update_user_password(robert, Secret(OTHER))
        with pytest.raises(OperationError, match="left alone"):
            handler.create_user(robert, Secret(OTHER))
        assert handler.get_existing_databases()[site.web].owner == site.bob
    assert site.dba.admin.command("usersInfo", robert)["users"][0]["roles"]


def test_a_copied_account_has_no_claim_on_databases_that_the_copy_names(site: Site) -> None:
    """A4: robert's copied marker names databases of bob, and one that would be robert's by its name."""
    robert = f"{site.bob}rt"
    with site.handler() as handler:
        site.make(handler)
        marker = {**site.account()["customData"]["dbroster"], "databases": [site.web, f"{robert}_web"]}
        copy_account(site, robert, customData={"dbroster": marker})
        site.dba[f"{robert}_web"].create_collection("by_hand")
        site.dba.admin.command("dropUser", site.bob)
        databases = handler.get_existing_databases()
        assert databases[site.web].owner is None
        assert databases[f"{robert}_web"].owner is None
        for database in (site.web, f"{robert}_web"):
            with pytest.raises(OperationError):
                handler.drop_database(robert, database)
    assert {site.web, f"{robert}_web"} <= set(site.dba.list_database_names())


def test_an_adopted_copy_gets_a_marker_of_its_own_without_claims(site: Site) -> None:
    """A4: taking the copy over by --adopt gives it nothing of bob's."""
    robert = f"{site.bob}rt"
    with site.handler() as handler:
        site.make(handler)
        copy_account(site, robert)
        handler.adopt_user(robert, Secret(OTHER))
        found = handler.get_existing_users()[robert]
        assert (found.managed, found.marked_for) == (True, None)
        assert handler.get_existing_databases()[site.web].owner == site.bob
    account = site.dba.admin["system.users"].find_one({"user": robert})
    assert account is not None
    assert account["customData"] == {"dbroster": {"v": 2, "roster": "default", "user": robert, "databases": []}}


@pytest.mark.parametrize(
    "marker",
    [
        {"v": 1, "roster": "default"},
        {"v": 2, "roster": "default"},
        {"v": 2, "roster": "default", "user": None},
        {"v": 2, "roster": "default", "user": ""},
        {"v": 2, "roster": "default", "user": ["BOB"]},
        {"v": 2, "user": "BOB"},
        {"v": 2, "roster": "default", "user": "BOB", "databases": "BOB_web"},
        {"v": 2, "roster": "default", "user": "bob"},
        {"v": "2", "roster": "default", "user": "BOB"},
    ],
    ids=repr,
)
def test_what_is_not_a_whole_marker_is_none(site: Site, marker: dict[str, Any]) -> None:
    """A4: version 1, a marker cut by hand, or one whose name differs in case proves nothing."""
    with site.handler() as handler:
        site.make(handler)
        name = marker.get("user")
        whose = {"BOB": site.bob, "bob": site.bob.upper()}.get(name, name) if isinstance(name, str) else name
        mark(
            site,
            **{
                **marker,
                **({"user": whose} if "user" in marker else {}),
                "databases": marker.get("databases", [site.web]),
            },
        )
        assert not handler.get_existing_users()[site.bob].managed
        assert handler.get_existing_databases()[site.web].owner is None
        with pytest.raises(OperationError):
            handler.drop_database(site.bob, site.web)
    assert site.web in site.dba.list_database_names()


def test_roles_without_a_claim_prove_nothing(site: Site) -> None:
    """A1: what a DBA makes and gives to bob stays a foreign database; its holder is named."""
    old = f"{site.bob}_old"
    with site.handler() as handler:
        site.make(handler)
        site.dba[old].create_collection("by_hand")
        site.dba.admin.command("grantRolesToUser", site.bob, roles=[{"role": "readWrite", "db": old}])
        found = handler.get_existing_databases()[old]
        assert (found.owner, found.holder, found.granted) == (None, site.bob, False)
        with pytest.raises(OperationError, match="not proven"):
            handler.drop_database(site.bob, old)
        site.dba.admin.command("grantRolesToUser", "root", roles=[{"role": "read", "db": old}])
        try:
            assert handler.get_existing_databases()[old].holder is None
        finally:
            site.dba.admin.command("revokeRolesFromUser", "root", roles=[{"role": "read", "db": old}])
    assert old in site.dba.list_database_names()
    site.dba.drop_database(old)


def test_a_claim_without_roles_is_still_bobs(site: Site) -> None:
    """A10: roles taken away by hand take no claim away: mended, or removed."""
    with site.handler() as handler:
        site.make(handler)
        site.dba.admin.command("updateUser", site.bob, roles=[])
        found = handler.get_existing_databases()[site.web]
        assert (found.owner, found.granted) == (site.bob, False)
        handler.grant_privileges(site.bob, site.web)
        assert handler.get_existing_databases()[site.web].granted
        site.dba.admin.command("updateUser", site.bob, roles=[])
        handler.lock_user(site.bob)
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)
    assert site.web not in site.dba.list_database_names()


def test_data_that_was_moved_to_another_name_is_foreign(site: Site) -> None:
    """A2: renameCollection moves data into a database that no claim names; bob's own comes back empty."""
    backup = f"{site.web}_backup"
    with site.handler() as handler:
        site.make(handler)
        site.dba[site.web].note.insert_one({"kept": True})
        for name in site.dba[site.web].list_collection_names():
            site.dba.admin.command({"renameCollection": f"{site.web}.{name}", "to": f"{backup}.{name}"})
        found = handler.get_existing_databases()
        assert (found[backup].owner, found[site.web].owner, found[site.web].usable) == (None, site.bob, False)
        with pytest.raises(OperationError, match="not proven"):
            handler.drop_database(site.bob, backup)
        handler.create_database(site.bob, site.web)
        handler.lock_user(site.bob)
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)
    assert site.dba[backup].note.count_documents({}) == 1
    site.dba.drop_database(backup)
