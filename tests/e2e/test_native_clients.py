"""The sample roster of config/: three users, three templates, with the drivers and with the servers' own clients."""

from itertools import product

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
    for (user, password), owner, template in product(site.roster.items(), site.roster, TEMPLATES):
        database = f"{owner}_{template}"
        for statement in site.adapter.native:
            done = site.adapter.server.client(user, password, database, statement)
            assert (done.returncode == 0) is (owner == user), f"{user} in {database}: {done.stdout}{done.stderr}"


def test_an_underscore_is_not_a_wildcard(site: Site) -> None:
    (bob,) = site.users("bob")
    neighbours = {f"{bob}{neighbour}" for neighbour in ("Xweb", "-web", "web")}
    for foreign in neighbours:
        site.adapter.create_database_by_hand(foreign)
    site.sync()
    if site.adapter.hides_databases:
        assert not neighbours & site.adapter.visible(bob, site.roster[bob])
        assert not site.adapter.writable(bob, site.roster[bob], neighbours)
    site.users_file(b"")
    site.sync("--max-removals", "all")
    assert neighbours <= site.adapter.databases()
