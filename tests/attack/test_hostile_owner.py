"""The owner of a database against the next sync: it runs nothing of theirs, and does its work all the same."""

from threading import Event, Thread

from tests.attack.hostile import HOSTILE, TRAPPED
from tests.e2e.site import OTHER_PASSWORD, PASSWORD, Site


def attack(site: Site) -> tuple[str, str]:
    """Create two users, one of whom does everything that an owner can; return al and the attacker."""
    site.templates("web")
    al, me = site.users("al", "mallory")
    site.sync()
    site.adapter.put(al, PASSWORD, f"{al}_web", "his")
    names = {"me": me, "mine": f"{me}_web", "al": al, "admin": site.adapter.server.admin_user, "roster": site.prefix}
    for name, statement in HOSTILE[site.adapter.server.engine].items():
        done = site.adapter.server.client(me, PASSWORD, f"{me}_web", statement.format(**names))
        assert done.returncode == 0, f"{name}: {done.stderr}"
    return al, me


def test_the_next_sync_runs_nothing_of_a_hostile_owner(site: Site) -> None:
    """And who leaves afterwards is removed like everybody else, with all that the database holds."""
    al, me = attack(site)
    site.users("al", "bob", mallory=OTHER_PASSWORD)
    site.templates("web", "more")
    run = site.sync()
    assert {user for action, user, _ in run.actions if action == "update_password"} == {me}
    site.in_step()
    server = site.adapter.server
    if server.engine in TRAPPED:
        admin = server.admin_user, server.admin_password
        tries = (server.client(*admin, f"{me}_web", TRAPPED[server.engine]) for _ in range(20))
        done = next(done for done in tries if done.returncode == 0)  # the attacker has set a timeout of a millisecond
        assert all(who.startswith(me) for who in done.stdout.split()), "an event of theirs may run, as themselves"
    assert site.adapter.get(al, PASSWORD, f"{al}_web") == ["his"]
    with site.adapter.session(me, OTHER_PASSWORD):
        site.users("al")
        site.converge("--max-removals", "all")
    assert me not in site.adapter.accounts()
    assert not any(name.startswith(me) for name in site.adapter.databases())
    assert site.adapter.get(al, PASSWORD, f"{al}_web") == ["his"]


def test_a_writer_that_never_stops_brings_no_dropped_database_back(site: Site) -> None:
    """MongoDB makes a database whenever somebody who may writes into it."""
    site.templates("web", "data")
    (me,) = site.users("mallory")
    site.sync()
    stop = Event()

    def write() -> None:
        while not stop.is_set():
            site.adapter.can_write(me, PASSWORD, f"{me}_data")

    writers = [Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        site.templates("web")
        site.sync("--max-removals", "all")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    site.in_step()
    assert f"{me}_data" not in site.adapter.databases()
