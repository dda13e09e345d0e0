"""A roster that has lost too much is refused, until it is permitted: decided by what was read, whoever has told it."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import on_one_product
from tests.e2e.site import Site

pytestmark = on_one_product


@pytest.mark.parametrize("broken", [b"", b"# all gone\n\n", None])
def test_an_empty_or_missing_roster_removes_nothing(site: Site, broken: bytes | None) -> None:
    site.users("ann", "bob")
    site.sync()
    if broken is None:
        (site.directory / "users.txt").unlink()
    else:
        site.users_file(broken)
    for options in ((), ("--dry-run",)):
        run = site.run(*options)
        assert run.code == 3, run.out
        assert "--max-removals" in run.result["refusals"][0]
        assert run.statuses() <= {"refused"}
    site.everybody_is_at_home()


def test_an_empty_roster_with_permission(site: Site) -> None:
    users = site.users("ann", "bob")
    site.sync()
    site.users_file(b"")
    site.converge("--max-removals", "all")
    assert not site.adapter.accounts() & set(users)


def test_a_missing_roster_removes_nothing_even_with_permission(site: Site) -> None:
    site.users("ann", "bob")
    site.sync()
    (site.directory / "users.txt").unlink()
    run = site.run("--max-removals", "all")
    assert (run.code, run.actions) == (1, set())
    site.everybody_is_at_home()


def test_twenty_of_fifty_users_gone(site: Site) -> None:
    site.templates("web")
    names = [f"u{number:03}" for number in range(50)]
    site.users(*names)
    site.sync()
    site.users(*names[20:])
    run = site.run()
    assert run.code == 3
    assert "20 of 50 managed accounts" in run.result["refusals"][0]
    assert run.statuses() == {"refused"}
    assert len([name for name in site.adapter.databases() if name.startswith(site.prefix)]) == 50
    assert site.run("--max-removals", "19").code == 3
    run = site.converge("--max-removals", "all")
    assert run.result["summary"]["drop_user"] == 20
    assert run.result["summary"]["drop_database"] == 20
    assert len([name for name in site.adapter.databases() if name.startswith(site.prefix)]) == 30


def test_too_many_databases_of_users_who_stay(site: Site) -> None:
    site.templates("one", "two", "three", "four")
    site.users("ann", "bob")
    site.sync()
    site.templates("one", "two")
    run = site.run()
    assert (run.code, run.statuses()) == (3, {"refused"})
    assert "4 of 8 managed databases" in run.result["refusals"][0]
    assert {database for _, _, database in run.actions} == {
        f"{site.name(user)}_{template}" for user in ("ann", "bob") for template in ("three", "four")
    }
    site.templates()
    assert site.run().code == 3
    site.templates("one", "two")
    site.converge("--max-removals", "50%")


def test_the_command_of_a_refusal_does_what_was_refused(site: Site) -> None:
    """A6, C8: a refusal, dry or not, shows the plan and gives the command that does it, which then does just that."""
    site.users("ann", "bob", "cy")
    site.sync()
    site.users("ann")
    dry, wet = site.run("--dry-run"), site.run()
    assert (dry.code, wet.code, dry.actions) == (3, 3, wet.actions)
    command = shlex.split(dry.result["permit"])
    assert dry.result["permit"] == wet.result["permit"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name in site.adapter.accounts() if name.startswith(site.prefix)} == {site.name("ann")}
    site.in_step()


def test_two_directories_that_say_the_same_roster(site: Site, tmp_path: Path) -> None:
    """A6: two teams on one server forget to give their rosters names; neither drops the other's people."""
    site.users("al", "bo", "cy")
    site.sync()
    other = Site(site.adapter, tmp_path / "other", site.prefix)
    other.users("xi", "yo")
    for options in ((), ("--dry-run",)):
        run = other.run(*options)
        assert (run.code, run.statuses()) == (3, {"refused"})
        assert "none of them was ever in this directory's audit log" in run.result["refusals"][0]
    site.everybody_is_at_home()


def test_one_a_run_but_three_a_day(site: Site) -> None:
    """A6: a file that loses a line with every run of cron."""
    site.templates("web")
    names = [f"u{number}" for number in range(6)]
    site.users(*names)
    site.sync()
    for left in (5, 4, 3):
        site.users(*names[:left])
        assert site.run().code == 0
    site.users(*names[:2])
    run = site.run()
    assert run.code == 3
    assert "with 3 in the last 24 hours" in run.result["refusals"][0]
    site.converge("--max-removals", "1")


def test_a_quiet_run_tells_what_it_drops(site: Site) -> None:
    """A6, D4: with --quiet drops are told all the same."""
    site.templates("web")
    site.users("ann", "bob")
    assert site.run("--silent", output="text").out == ""
    site.users("ann")
    lines = site.run("--quiet", output="text").out.splitlines()
    assert lines[1:] == [f"  - {site.name('bob')}  removed: 1 database dropped (web)"]
    assert site.run("--quiet", output="text").out == ""
