"""What only MongoDB's accounts and databases have."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo.errors import PyMongoError

from dbroster.engines import connect
from dbroster.errors import ConnectError, OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import OTHER, PASSWORD, Site


def test_the_password_is_kept_for_the_wanted_mechanisms_only(site: Site) -> None:
    with site.handler() as handler:
        handler.create_user(site.bob, Secret(PASSWORD))
        handler.update_user_password(site.bob, Secret(OTHER))
    assert set(site.account()["credentials"]) == {"SCRAM-SHA-256"}


def test_other_mechanisms_than_wanted_are_noticed_and_mended(site: Site) -> None:
    with site.handler(mechanisms=("SCRAM-SHA-1", "SCRAM-SHA-256")) as handler:
        handler.create_user(site.bob, Secret(PASSWORD))
    with site.handler() as handler:
        for expected in (PasswordCheck.DIFFERENT, PasswordCheck.SAME):
            found = handler.check_passwords([User(site.bob, Secret(PASSWORD), 1)], handler.get_existing_users())
            assert found == {site.bob: expected}
            handler.update_user_password(site.bob, Secret(PASSWORD))


def test_sha_1_carries_what_sha_256_does_not(site: Site) -> None:
    emoji = Secret("horse-🐴-battery")
    with site.handler() as handler, site.handler(mechanisms=("SCRAM-SHA-1",)) as old:
        assert "U+1F434" in (handler.refuse_password(emoji) or "")
        assert old.refuse_password(emoji) is None


def test_what_others_wrote_into_custom_data_stays(site: Site) -> None:
    with site.handler() as handler:
        site.make(handler)
        added = {"team": "blue", "until": DatetimeMS(9 * 10**15)}  # a date that Python has none for
        site.dba.admin.command("updateUser", site.bob, customData={**site.account()["customData"], **added})
        assert site.bob in handler.get_existing_users()
        handler.lock_user(site.bob)
        handler.update_user_password(site.bob, Secret(PASSWORD))
        with site.login(
            site.server.admin_user, site.server.admin_password, datetime_conversion="DATETIME_AUTO"
        ) as client:
            custom = client.admin["system.users"].find_one({"user": site.bob})["customData"]  # type: ignore[index]
        assert {name: custom[name] for name in added} == added


def test_restrictions_and_databases_come_back_when_an_account_is_opened_again(site: Site) -> None:
    local = [{"clientSource": ["127.0.0.1"]}]
    with site.handler() as handler:
        site.make(handler)
        site.dba.admin.command("updateUser", site.bob, authenticationRestrictions=local)
        handler.lock_user(site.bob)
        assert site.account()["roles"] == []
        handler.update_user_password(site.bob, Secret(PASSWORD))
        assert site.account()["authenticationRestrictions"] == local
        assert handler.get_existing_databases()[site.web].granted
    with site.login(site.bob, PASSWORD) as client:
        client[site.web].note.insert_one({})


def test_a_role_that_is_gone_keeps_nobody_out(site: Site) -> None:
    """T6: who came back within the days of grace was never opened, if a DBA had dropped one of his roles meanwhile."""
    shared = site.dba[f"{site.bob}s-shared"]
    privilege = {"resource": {"db": shared.name, "collection": ""}, "actions": ["find"]}
    roles = [{"role": name, "db": shared.name} for name in ("gone", "stays")]
    with site.handler() as handler:
        site.make(handler)
        for role in roles:
            shared.command("createRole", role["role"], privileges=[privilege], roles=[])
        site.dba.admin.command("grantRolesToUser", site.bob, roles=roles)
        handler.lock_user(site.bob)
        shared.command("dropRole", "gone")
        (opened,) = handler.perform_all([Action(Verb.UPDATE_PASSWORD, site.bob, None, Secret(PASSWORD))])
        assert opened.status is Status.DONE, opened
        assert opened.note == f"{site.bob} had the role gone@{shared.name}, too, which is not there any more"
        assert roles[1] in site.account()["roles"]
        assert handler.get_existing_databases()[site.web].granted
        shared.command("dropAllRolesFromDatabase")


def test_a_marker_in_another_database_is_not_believed(site: Site) -> None:
    forged = {"dbroster": {"v": 2, "roster": "default", "user": site.bob, "databases": [site.web]}}
    site.dba[site.web].command("createUser", site.bob, pwd=PASSWORD, roles=[], customData=forged)
    with site.handler() as handler:
        assert site.bob not in handler.get_existing_users()
        with pytest.raises(OperationError):
            handler.lock_user(site.bob)
        handler.drop_user(site.bob)
    assert site.account()["db"] == site.web


def test_accounts_and_roles_inside_a_dropped_database_go_with_it(site: Site) -> None:
    with site.handler() as handler:
        site.make(handler)
        site.dba[site.web].command("createUser", "backdoor", pwd=PASSWORD, roles=[])
        site.dba[site.web].command("createRole", "power", privileges=[], roles=[])
        handler.drop_database(site.bob, site.web)
    assert site.dba.admin["system.users"].count_documents({"db": site.web}) == 0
    assert site.dba.admin["system.roles"].count_documents({"db": site.web}) == 0
    assert site.account()["customData"]["dbroster"]["databases"] == []


def test_writers_that_never_stop_bring_no_dropped_database_back(site: Site) -> None:
    """Whoever may write into a database makes it: several times in each millisecond, as often as these try."""
    stop = Event()

    def write() -> None:
        with site.login(site.bob, PASSWORD) as client:
            while not stop.is_set():
                with suppress(PyMongoError):
                    client[site.web].note.insert_one({})

    with site.handler() as handler, ThreadPoolExecutor(4) as pool:
        site.make(handler)
        writing = [pool.submit(write) for _ in range(4)]
        try:
            while not site.dba[site.web].note.estimated_document_count():
                assert not any(each.done() for each in writing)
            handler.drop_database(site.bob, site.web)
        finally:
            stop.set()
    assert site.web not in site.dba.list_database_names()


def test_an_account_with_a_database_left_is_not_dropped(site: Site) -> None:
    with site.handler() as handler:
        site.make(handler)
        with pytest.raises(OperationError, match=site.web):
            handler.drop_user(site.bob)


def test_an_open_transaction_does_not_stop_the_removal(set_site: Site) -> None:
    site = set_site
    with site.handler() as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as client, client.start_session() as session:
            client[site.web].note.insert_one({})
            session.start_transaction()
            client[site.web].note.insert_one({}, session=session)
            handler.lock_user(site.bob)
            handler.drop_database(site.bob, site.web)
            handler.drop_user(site.bob)
            assert site.web not in site.dba.list_database_names()


def test_without_a_marker_collection_the_grant_is_enough(site: Site) -> None:
    with site.handler(marker_collection="") as handler:
        site.make(handler)
        found = handler.get_existing_databases()[site.web]
        assert (found.owner, found.granted, found.usable) == (site.bob, True, True)
    assert site.web not in site.dba.list_database_names()


def test_one_command_gives_a_user_the_roles_on_all_databases(site: Site) -> None:
    names = [f"{site.bob}_{number}" for number in range(4)]
    with site.handler() as handler:
        handler.create_user(site.bob, Secret(PASSWORD))
        outcomes = handler.perform_all([Action(Verb.GRANT_PRIVILEGES, site.bob, name) for name in names])
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 4
    assert {role["db"] for role in site.account()["roles"]} == set(names)


def test_which_roles_differ_is_said(site: Site) -> None:
    """C8: what is lacking, and what is too much."""
    with site.handler() as handler:
        site.make(handler)
        site.dba.admin.command("updateUser", site.bob, roles=[{"role": "read", "db": site.web}])
        differs = handler.get_existing_databases()[site.web].differs
    assert differs == f"{site.bob} lacks dbAdmin, readWrite, {site.bob} has read, too"


def test_a_database_that_differs_in_case_is_in_the_way(site: Site) -> None:
    site.dba[site.web.upper()].create_collection("by_hand")
    with site.handler() as handler:
        handler.create_user(site.bob, Secret(PASSWORD))
        with pytest.raises(OperationError, match=site.web.upper()):
            handler.grant_privileges(site.bob, site.web)


def test_accounts_may_live_in_another_authentication_database(site: Site) -> None:
    with site.handler(auth_database="people") as handler:
        site.make(handler)
        assert handler.get_existing_users()[site.bob].managed
        assert handler.refuse_database("People")
    assert site.account()["db"] == "people"


def test_a_login_that_is_refused_says_so_without_the_password(site: Site) -> None:
    connection = site.connection()._replace(password=Secret("Wrong-password-1"))
    with pytest.raises(ConnectError, match="refused") as caught:
        connect(connection)
    assert "Wrong-password-1" not in str(caught.value)
