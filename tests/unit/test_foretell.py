"""What a dry run says of actions that must fail; a run says the same."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dbroster.model import Action, Outcome, Result, Status, Verb
from dbroster.report import Exit, exit_code
from dbroster.sync import Options, Sync
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.unit.samples import roster

STUCK = "bob_old has prepared transactions: ROLLBACK PREPARED 'x'"


class Foreseeing(FakeHandler):
    """A fake whose catalogs show that bob_old can't be dropped."""

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        return [STUCK if (a.verb, a.database) == (Verb.DROP_DATABASE, "bob_old") else None for a in actions]


@pytest.fixture
def server() -> FakeServer:
    server = FakeServer()
    with FakeHandler.open(fake_connection(server)) as handler:
        for user in ("bob", "eve", "ann"):
            handler.create_user(user, roster("x").users["x"].password)
            for template in ("old", "web"):
                handler.create_database(user, f"{user}_{template}")
                handler.grant_privileges(user, f"{user}_{template}")
    return server


def run(server: FakeServer, tmp_path: Path, *, dry_run: bool) -> Result:
    options = Options(tmp_path, dry_run, max_removals="all")
    return Sync(fake_connection(server), roster("ann"), options, connect=Foreseeing.open).run()


def told(outcomes: Sequence[Outcome]) -> list[tuple[str, Verb, str, str | None]]:
    """With one word for what was done and what is planned."""
    return [
        (o.status.value.replace("planned", "done"), o.action.verb, o.action.database or o.action.user, o.error)
        for o in outcomes
        if o.action.user != "ann"
    ]


def test_what_must_fail_is_not_tried_and_a_dry_run_says_the_same(server: FakeServer, tmp_path: Path) -> None:
    """C7: the user is locked, the rest of the own databases goes, the account stays, and others leave as planned."""
    dry = run(server, tmp_path, dry_run=True)
    tried = len(server.changes())
    real = run(server, tmp_path, dry_run=False)
    assert told(dry.outcomes) == told(real.outcomes)
    by_name = {(o.action.verb, o.action.database or o.action.user): o for o in real.outcomes}
    assert by_name[Verb.DROP_DATABASE, "bob_old"].status is Status.FAILED
    assert by_name[Verb.DROP_DATABASE, "bob_old"].error == STUCK
    assert by_name[Verb.DROP_DATABASE, "bob_web"].status is Status.DONE
    assert by_name[Verb.DROP_USER, "bob"].status is Status.SKIPPED
    assert by_name[Verb.DROP_USER, "eve"].status is Status.DONE
    assert not [change for change in server.changes()[tried:] if change.text == "drop_database bob_old"]
    assert exit_code(dry, detailed=False) is Exit.INCOMPLETE


def test_a_connected_check_tells_what_must_fail(server: FakeServer, tmp_path: Path) -> None:
    """C7: before anybody plans anything."""
    options = Options(tmp_path, dry_run=True)
    result = Sync(fake_connection(server), roster("ann"), options, connect=Foreseeing.open).check_connected()
    assert [p.text for p in result.problems if not p.warning] == [f"drop_database bob_old can't be done: {STUCK}"]
