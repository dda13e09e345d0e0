"""A roster that has lost too much is refused, until it is permitted."""

import pytest

from tests.e2e.site import Site


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
        assert not run.actions
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


def test_forty_of_a_hundred_users_gone(site: Site) -> None:
    site.templates("web")
    names = [f"u{number:03}" for number in range(100)]
    site.users(*names)
    site.sync()
    site.users(*names[40:])
    run = site.run()
    assert run.code == 3
    assert "40 of 100 managed accounts" in run.result["refusals"][0]
    assert not run.actions
    assert len([name for name in site.adapter.databases() if name.startswith(site.prefix)]) == 100
    assert site.run("--max-removals", "39").code == 3
    run = site.converge("--max-removals", "all")
    assert run.result["summary"]["drop_user"] == 40
    assert run.result["summary"]["drop_database"] == 40
    assert len([name for name in site.adapter.databases() if name.startswith(site.prefix)]) == 60


def test_too_many_databases_of_users_who_stay(site: Site) -> None:
    site.templates("one", "two", "three", "four")
    site.users("ann", "bob")
    site.sync()
    site.templates("one", "two")
    run = site.run()
    assert (run.code, run.actions) == (3, set())
    assert "4 of 8 managed databases" in run.result["refusals"][0]
    site.templates()
    assert site.run().code == 3
    site.templates("one", "two")
    site.converge("--max-removals", "50%")
