"""A check says what it has judged."""

from tests.support.fake_site import Site
from tests.support.samples import roster


def test_it_says_how_much_is_sound(site: Site) -> None:
    judgement = site.check(roster("ann", "bob")).of_files(3).judgement
    assert judgement == "judged users.txt: 2 users; fake_databases.txt: 1 template; connections.yaml: 3 servers"


def test_it_says_that_login_and_privileges_are_sound(site: Site) -> None:
    judgement = site.check(roster("ann")).of_server().judgement
    files = "judged users.txt: 1 user; fake_databases.txt: 1 template; connections.yaml: 1 server"
    assert judgement == f"{files}; login as admin: has all privileges"
