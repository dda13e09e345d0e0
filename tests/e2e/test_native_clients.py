"""The sample roster of config/: three users, three templates, with the drivers and with the servers' own clients."""

from itertools import product

import pytest

from tests.contract.adapters import Adapter
from tests.e2e.site import ROOT, Site

TEMPLATES = ("tools", "web", "analytics")


def sample() -> dict[str, str]:
    """Users and passwords of config/users.txt."""
    lines = (ROOT / "config" / "users.txt").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines if not line.startswith("#"))


def test_the_sample_lists_the_three_templates(adapter: Adapter) -> None:
    lines = (ROOT / "config" / f"{adapter.engine}_databases.txt").read_text().splitlines()
    assert tuple(line for line in lines if not line.startswith("#")) == TEMPLATES


def test_everybody_works_in_own_databases_only(site: Site) -> None:
    site.templates(*TEMPLATES)
    site.users(**sample())
    site.sync()
    site.everybody_is_at_home(*TEMPLATES)


def test_with_the_native_client(site: Site) -> None:
    site.templates(*TEMPLATES)
    site.users(**sample())
    site.sync()
    for (user, password), owner, template in product(site.roster.items(), site.roster, TEMPLATES):
        database = f"{owner}_{template}"
        for statement in site.adapter.native:
            done = site.adapter.server.client(user, password, database, statement)
            assert (done.returncode == 0) is (owner == user), f"{user} in {database}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("neighbour", ["Xweb", "-web", "web"])
def test_an_underscore_is_not_a_wildcard(site: Site, neighbour: str) -> None:
    (bob,) = site.users("bob")
    foreign = f"{bob}{neighbour}"
    site.adapter.create_database_by_hand(foreign)
    site.sync()
    if site.adapter.hides_databases:
        assert foreign not in site.adapter.visible(bob, site.roster[bob])
        assert not site.adapter.can_write(bob, site.roster[bob], foreign)
    site.users_file(b"")
    site.sync("--max-removals", "all")
    assert foreign in site.adapter.databases()
