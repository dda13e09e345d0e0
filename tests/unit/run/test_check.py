"""A check says what it has judged."""

from tests.support.fake_site import Site
from tests.support.samples import roster


def test_it_says_how_much_is_sound(site: Site) -> None:
    assert site.check(roster("ann", "bob")).of_files().judgement == "2 users and 1 template are sound"


def test_it_says_that_login_and_privileges_are_sound(site: Site) -> None:
    judgement = site.check(roster("ann")).of_server().judgement
    assert judgement == "1 user and 1 template are sound, and so are login and privileges"
