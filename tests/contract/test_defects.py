"""W1: what brings a defect of dbroster's own out fails by itself; all others' actions are carried out."""

import json
from pathlib import Path

import pytest

from dbroster.audit.log_files import AUDIT_FILE
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Result, Status
from dbroster.report.exit_codes import Exit, exit_code
from tests.contract.team import Team, reports
from tests.contract.world import PASSWORD, World

TELLTALE = "Tell-tale-0815"


class Defects:
    """Connections on which one verb for one user brings a defect out, after all else that the call has to do."""

    def __init__(self, team: Team, verb: Verb, user: str) -> None:
        self._team, self._verb, self._user = team, verb, user
        self.spoiled: list[Handler] = []
        self.reused = 0

    def connect(self, connection: Connection) -> Handler:
        handler = self._team.adapter.connect(connection)
        perform = handler.perform

        def defective(*actions: Action) -> None:
            self.reused += handler in self.spoiled
            others = [action for action in actions if (action.verb, action.user) != (self._verb, self._user)]
            if others:
                perform(*others)
            if len(others) < len(actions):
                self.spoiled.append(handler)
                raise ZeroDivisionError(TELLTALE)

        def foresee(actions: object) -> list[str | None]:
            raise ZeroDivisionError(TELLTALE)

        handler.perform = defective  # type: ignore[method-assign]
        handler.foresee = foresee  # type: ignore[method-assign]
        return handler


@pytest.fixture
def team(world: World) -> Team:
    return Team(world)


@pytest.mark.parametrize("verb", [Verb.LOCK_USER, Verb.DROP_DATABASE, Verb.DROP_USER, Verb.CREATE_USER])
def test_a_defect_in_one_action_stops_no_other(team: Team, verb: Verb) -> None:
    """W1: one user could bring it about, and so end each run of everybody (T4, T17, G4)."""
    user = team.world.name("new" if verb is Verb.CREATE_USER else "bob")
    team.sync(dict.fromkeys(("al", "bob", "cid", "dan", "eve"), PASSWORD))
    team.write_users(dict.fromkeys(("al", "new", "young"), PASSWORD))
    defects = Defects(team, verb, user)
    result = team.run(connect=defects.connect, jobs=1)
    failed = [o for o in result.outcomes if o.status is Status.FAILED]
    assert {(outcome.action.verb, outcome.action.user) for outcome in failed} == {(verb, user)}
    assert all("a defect in dbroster, please report it: ZeroDivisionError" in (o.error or "") for o in failed)
    assert {o.action.user for o in result.outcomes if o.status is not Status.DONE} == {user}
    assert (exit_code(result, detailed=False), result.fatal) == (Exit.INCOMPLETE, None)
    assert [p.text for p in result.problems if not p.warning and "ZeroDivisionError in foresee" in p.text]
    assert TELLTALE not in reports(result)
    assert (verb, user, "failed") in _audited(team.directory)
    _given_up(defects)
    _converges(team, result)


def _audited(directory: Path) -> list[tuple[str, str, str]]:
    """The verb, the user and the status of each line of the audit log that has them."""
    lines = [json.loads(line) for line in (directory / AUDIT_FILE).read_text().splitlines()]
    return [(line["action"], line["user"], line["status"]) for line in lines if "user" in line]


def _given_up(defects: Defects) -> None:
    """Nothing was done any more on a session that a defect has left."""
    assert defects.spoiled
    assert not defects.reused
    for handler in defects.spoiled:
        with pytest.raises(ConnectError):
            handler.get_existing_users()


def _converges(team: Team, result: Result) -> None:
    assert result.outcomes
    team.run()
    team.assert_in_step(dict.fromkeys(("al", "new", "young"), PASSWORD))
