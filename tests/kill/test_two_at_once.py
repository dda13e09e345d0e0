"""Two runs at the same moment on one server: one waits or is refused, and nothing is damaged."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.site import PASSWORD, Run, Site
from tests.support import warm

TOGETHER = 3


def at_once(sites: Sequence[Site]) -> list[Run]:
    """Start all scripts before waiting for any."""
    processes = [warm.start([*site.program(), "--output", "json"]) for site in sites]
    finished = [process.communicate(timeout=120) for process in processes]
    return [Run(p.wait(), out, err) for p, (out, err) in zip(processes, finished, strict=True)]


def assert_one_after_the_other(runs: Sequence[Run]) -> None:
    """Every run did all of its work, or none of it and said why."""
    for run in runs:
        assert run.code in (0, 2), run.out + run.err
        assert run.statuses() <= {"done"}
        if run.code == 2:
            assert "another sync" in run.result["error"], run.out
            assert not run.actions
    assert 0 in {run.code for run in runs}


def test_two_at_once_from_the_same_directory(site: Site) -> None:
    site.users("ann", "bob")
    assert_one_after_the_other(at_once([site] * TOGETHER))
    site.in_step()
    site.everybody_is_at_home()


@pytest.mark.parametrize("rosters", ["one roster", "a roster each"])
def test_two_at_once_from_different_directories(site: Site, tmp_path: Path, rosters: str) -> None:
    sites = [site]
    for number in range(1, TOGETHER):
        other = Site(site.adapter, tmp_path / f"config{number}", site.prefix)
        other.configure(roster=site.prefix if rosters == "one roster" else f"{site.prefix}{number}")
        sites.append(other)
    for number, each in enumerate(sites):
        # the same file twice, as from two clones of a repository; or two teams with users of their own
        each.users(*(("ann", "bob") if rosters == "one roster" else (f"ann{number}", f"bob{number}")))
    assert_one_after_the_other(at_once(sites))
    for each in sites:
        run = each.run()
        assert run.code == 0, run.out + run.err
    for each in sites:
        each.in_step()
        each.everybody_is_at_home()
    names = {name for each in sites for name in each.roster}
    assert {name for name in site.adapter.accounts() if name.startswith(site.prefix)} == names
    assert site.adapter.can_login(sorted(names)[0], PASSWORD)
