"""The guard in whole runs, with the audit log of the runs before."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from dbroster.audit.log_files import PERMITTED
from dbroster.model.connection import Removals
from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from dbroster.model.roster import Roster
from dbroster.model.state import Lock
from dbroster.report.plain.text import as_text
from tests.fake_server import Killed
from tests.support.fake_site import Site, code, short
from tests.support.samples import roster

KEPT = {"removals": Removals(grace_days=7)}


def people(count: int) -> list[str]:
    return [f"u{number:02}" for number in range(count)]


def statuses(result: Result) -> set[Status]:
    return {outcome.status for outcome in result.outcomes}


def refused(site: Site, wanted: Roster, permission: str, **options: object) -> Result:
    """Dry run and run refuse alike, show the plan, and do nothing; with permission the plan is done as it was shown."""
    before = (len(site.server.changes()), site.audit)
    dry = site.run(wanted, dry_run=True, **options)
    wet = site.run(wanted, **options)
    assert (code(dry), code(wet)) == (3, 3)
    assert (statuses(dry), statuses(wet)) == ({Status.REFUSED}, {Status.REFUSED})
    assert (dry.refusals, short(dry), dry.plan) == (wet.refusals, short(wet), wet.plan)
    assert (len(site.server.changes()), site.audit) == before
    assert f"--max-removals {permission}" in wet.refusals[0]
    return wet


def permitted(site: Site, wanted: Roster, before: Result, permission: str) -> None:
    done = site.run(wanted, max_removals=permission, expect=frozenset({before.plan or ""}))
    assert (code(done), statuses(done)) == (0, {Status.DONE})
    assert site.run(wanted, dry_run=True).outcomes == ()


def test_two_teams_with_one_roster_name_do_not_drop_each_other(tmp_path: Path) -> None:
    """A6: two directories that both say `roster: default`."""
    sites = [Site(tmp_path / name) for name in ("a", "b")]
    for site in sites:
        site.directory.mkdir()
        site.server = sites[0].server
    assert code(sites[0].run(roster("al", "bo", "cy"))) == 0
    found = refused(sites[1], roster("xi", "yo"), "3")
    assert "3 of 3 managed accounts would be removed (al, bo, cy)" in found.refusals[0]
    assert "none of them was ever in this directory's audit log" in found.refusals[0]
    assert ("refused", "drop_database", "al_web") in short(found)
    assert {"al", "bo", "cy"} <= sites[0].server.accounts.keys()


@pytest.mark.parametrize("removed", [1, 2])
def test_nobody_s_last_account_goes_without_permission(site: Site, removed: int) -> None:
    """A6: another team's roster is copied in, and there are few accounts."""
    site.run(roster(*people(removed)))
    found = refused(site, roster("new"), str(removed))
    permitted(site, roster("new"), found, str(removed))


def test_the_new_account_of_another_directory_is_told(site: Site) -> None:
    site.run(roster("ann", "bob", "cy"))
    (site.directory / "audit.jsonl").unlink()
    found = refused(site, roster("ann"), "2")
    assert "none of them was ever in this directory's audit log" in found.refusals[0]


def test_one_account_of_a_second_directory_is_told(tmp_path: Path) -> None:
    """A6: two directories with one roster, of which one has a user more: that the other one removes her is told."""
    sites = [Site(tmp_path / name) for name in ("a", "b")]
    for site in sites:
        site.directory.mkdir()
        site.server = sites[0].server
    sites[0].run(roster("ann", "bob"))
    sites[1].run(roster("ann", "bob", "cy"))
    for dry_run in (True, False):
        text = as_text(sites[0].run(roster("ann", "bob"), dry_run=dry_run))
        assert "warning: cy was never in this directory's audit log: another team's?" in text
    assert "never in" not in as_text(sites[0].run(roster("ann")))


def test_a_template_that_was_renamed(site: Site) -> None:
    """A6: all *_web go, and all *_www are new."""
    site.run(roster("a", "b", "c", templates=("web", "api")))
    wanted = roster("a", "b", "c", templates=("www", "api"))
    found = refused(site, wanted, "3")
    assert "all that there are of the template web (www would be made anew and empty" in found.refusals[0]
    assert {verb for _, verb, _ in short(found)} == {"create_database", "grant_privileges", "drop_database"}
    permitted(site, wanted, found, "3")


def test_little_by_little_is_told(site: Site) -> None:
    """A6: 40 users to 15 in 8 cron runs."""
    names = people(40)
    site.run(roster(*names))
    codes = []
    for _ in range(8):
        names = names[: -max(3, len(names) // 10)]
        codes.append(code(site.run(roster(*names))))
    assert (set(codes), codes[0]) == ({0, 3}, 0)
    assert len(site.server.accounts) - 1 == 30  # 28 would be 30 %
    again = refused(site, roster(*people(27)), "3")
    assert "with 10 in the last 24 hours" in again.refusals[0]


def test_one_by_one_of_a_small_team(site: Site) -> None:
    """A6: one a run, but no more than three a day."""
    site.run(roster(*people(6)))
    assert [code(site.run(roster(*people(left)))) for left in (5, 4, 3)] == [0, 0, 0]
    found = refused(site, roster(*people(2)), "1")
    assert "with 3 in the last 24 hours (u03, u04, u05)" in found.refusals[0]
    permitted(site, roster(*people(2)), found, "1")
    assert code(site.run(roster(*people(1)))) == 3  # what was permitted does not count, the other three do


def test_the_permission_is_in_the_audit_log(site: Site) -> None:
    site.run(roster(*people(20)))
    assert code(site.run(roster(*people(10)), max_removals="10")) == 0
    reasons = [line["reason"] for line in site.audit if line["action"] == "run" and line["status"] == "started"]
    assert [PERMITTED in reason for reason in reasons] == [False, True]
    assert reasons[1].endswith("removals permitted by --max-removals 10")
    assert code(site.run(roster(*people(9)))) == 0


def test_locking_counts_and_dropping_does_not_count_again(site: Site) -> None:
    """A6: with days of grace an account counts when it is locked, and goes in its time however many go then."""
    site.run(roster(*people(20)), connection=KEPT)
    assert code(site.run(roster(*people(15)), connection=KEPT)) == 3
    assert code(site.run(roster(*people(15)), connection=KEPT, max_removals="5")) == 0
    for account in site.server.accounts.values():
        account.since = account.since and account.since.replace(year=2000)
    done = site.run(roster(*people(15)), connection=KEPT)
    assert (code(done), [verb for _, verb, _ in short(done)].count("drop_user")) == (0, 5)


def test_a_removal_that_was_killed_goes_on_without_permission(site: Site) -> None:
    site.run(roster(*people(20)))
    site.server.fail(Verb.DROP_USER, "u19")
    assert code(site.run(roster(*people(15)), max_removals="5")) == 1
    site.server.revive()
    assert code(site.run(roster(*people(15)))) == 0
    assert len(site.server.accounts) == 16


def test_a_restored_backup_brings_a_leaver_back(site: Site) -> None:
    """A6: the claim holds, so only the audit log can tell."""
    site.run(roster(*people(20)))
    backup = dict(site.server.accounts), dict(site.server.databases)
    assert code(site.run(roster(*people(19)))) == 0
    site.server.accounts, site.server.databases = backup
    found = refused(site, roster(*people(19)), "1")
    assert "u19 (dropped on " in found.refusals[0]
    assert "came back, by the audit log" in found.refusals[0]
    permitted(site, roster(*people(19)), found, "1")
    site.run(roster(*people(20)))
    assert code(site.run(roster(*people(19)))) == 0  # made by dbroster again, and removed as anybody


def test_a_run_that_changes_nothing_reads_no_log(site: Site) -> None:
    site.run(roster("ann", "bob"))
    (site.directory / "audit.jsonl").chmod(0o600)
    (site.directory / "audit.jsonl.1").mkdir()  # whoever reads it is told
    assert site.run(roster("ann", "bob")).problems == ()


def test_a_log_that_can_not_be_read_is_told(site: Site) -> None:
    site.run(roster("ann", "bob"))
    (site.directory / "audit.jsonl.1").mkdir()
    result = site.run(roster("ann"))
    assert code(result) == 0
    assert "audit.jsonl.1 can't be read" in as_text(result)


ROSTERS = st.tuples(st.sets(st.integers(0, 11)), st.booleans(), st.sampled_from([None, "web", "old"]))
TROUBLE = st.tuples(st.integers(1, 30), st.booleans()) | st.none()


@given(runs=st.lists(st.tuples(ROSTERS, TROUBLE, st.booleans()), min_size=1, max_size=8))
def test_no_runs_without_permission_remove_more_than_the_limit_of_a_day(
    tmp_path_factory: pytest.TempPathFactory,
    runs: Sequence[tuple[tuple[set[int], bool, str | None], tuple[int, bool] | None, bool]],
) -> None:
    """A6: whatever rosters follow each other within a day, and whichever run is killed, no more than three of 12 go."""
    site, names = Site(tmp_path_factory.mktemp("site")), people(12)
    wanted = roster(*names, templates=("web", "old"))
    site.run(wanted)
    for (stay, back, template), trouble, grace in runs:
        chosen = {name for number, name in enumerate(names) if number in stay} | (set(names) if back else set())
        templates = tuple(each for each in ("web", "old") if each != template)
        users = {name: user for name, user in wanted.users.items() if name in chosen}
        if trouble:
            site.server.kill(trouble[0], answer_lost=trouble[1])
        with suppress(Killed):
            site.run(wanted._replace(users=users, templates=templates), connection=KEPT if grace else {})
        site.server.revive()
        texts = [statement.text for statement in site.server.changes()]
        note(f"{sorted(chosen)} {templates} {trouble} {grace}: {[text for text in texts if 'create' not in text]}")
        gone = {text.split()[1] for text in texts if text.startswith("drop_user")}
        locked = {name for name, account in site.server.accounts.items() if account.lock is Lock.OURS}
        assert sum(text.startswith("drop_user") for text in texts) <= 3
        hurt = {text.split()[1].split("_")[0] for text in texts if text.startswith("drop_database")}
        assert len(gone | locked | hurt) <= 3
