"""The digest of a plan: the same for the same actions in any order, another one for everything else."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.passwords.secret import Secret
from dbroster.plan.plan_digest import plan_digest, unexpected
from dbroster.report.exit_codes import Exit
from dbroster.report.json_document import as_json
from dbroster.report.plain.text import as_text
from dbroster.report.report import Report
from tests.fake import FakeServer, fake_connection
from tests.support.fake_site import Site, code
from tests.support.samples import OTHER_PASSWORD, roster

CONNECTION = fake_connection(FakeServer())
NAMES = st.text("ab_,\"' ", max_size=3)
ACTIONS = st.builds(Action, st.sampled_from(Verb), NAMES, st.none() | NAMES.filter(bool))


def told(actions: list[Action]) -> list[tuple[str, str, str]]:
    return sorted((action.verb, action.user, action.database or "") for action in actions)


@given(one=st.lists(ACTIONS, max_size=4), two=st.lists(ACTIONS, max_size=4))
def test_plans_have_the_same_digest_if_and_only_if_they_do_the_same(one: list[Action], two: list[Action]) -> None:
    same = plan_digest(CONNECTION, one) == plan_digest(CONNECTION, two)
    assert same == (told(one) == told(two))
    assert plan_digest(CONNECTION, random.sample(one, len(one))) == plan_digest(CONNECTION, one)


def test_engine_server_and_roster_count() -> None:
    others = [CONNECTION._replace(engine="x"), CONNECTION._replace(server="x"), CONNECTION._replace(roster="x")]
    assert len({plan_digest(each, []) for each in (CONNECTION, *others)}) == 4


def test_passwords_and_reasons_do_not_count() -> None:
    plain = Action(Verb.CREATE_USER, "ann")
    for other in (plain._replace(password=Secret("x")), plain._replace(reason="because")):
        assert plan_digest(CONNECTION, [other]) == plan_digest(CONNECTION, [plain])


def test_the_form_never_changes() -> None:
    plan = [Action(Verb.DROP_USER, "bob"), Action(Verb.CREATE_DATABASE, "ann", "ann_web")]
    assert plan_digest(CONNECTION, plan) == "119633fc456e2287c0cf6e59"
    assert plan_digest(CONNECTION, []) == "1772aa459f5e80d1ce27da5f"


def test_only_what_is_expected_may_run() -> None:
    assert list(unexpected("a", [])) == []
    assert list(unexpected("a", ["b", "a"])) == []
    (refusal,) = unexpected("a", ["b", "c"])
    assert refusal.startswith("the plan is a, which no --expect names")


# --- whole runs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.run(roster("ann", "bob"))
    return site


WANTED = roster("ann")._replace(users={**roster("ann").users, **roster("cy", password=OTHER_PASSWORD).users})


def test_a_run_of_the_expected_plan(site: Site) -> None:
    dry = site.run(WANTED, dry_run=True)
    assert dry.plan is not None
    assert f"\n  plan {dry.plan}\n" in as_text(dry)
    (told,) = json.loads(as_json(Report([dry], [], Exit.IN_STEP, dry_run=True)))["results"]
    assert told["plan"] == dry.plan
    assert site.run(WANTED, dry_run=True, expect=frozenset({dry.plan})).outcomes == dry.outcomes
    wet = site.run(WANTED, expect=frozenset({"0" * 24, dry.plan}))
    assert (code(wet), wet.plan) == (0, dry.plan)
    assert {outcome.status for outcome in wet.outcomes} == {Status.DONE}
    assert dry.plan in site.audit[-1 - len(wet.outcomes) * 2 - 1]["reason"]


@pytest.mark.parametrize("dry_run", [True, False])
def test_any_other_plan_is_refused_and_nothing_is_done(site: Site, *, dry_run: bool) -> None:
    expected = site.run(WANTED, dry_run=True).plan or ""
    before, lines = len(site.server.changes()), site.audit
    del site.server.accounts["bob"]  # by hand, since the dry run: that plan would lock and drop him
    result = site.run(WANTED, dry_run=dry_run, expect=frozenset({expected}))
    assert (code(result), {outcome.status for outcome in result.outcomes}) == (3, {Status.REFUSED})
    assert result.plan not in (None, expected)
    assert f"refused, nothing was done: the plan is {result.plan}" in as_text(result)
    assert len(site.server.changes()) == before
    assert site.audit == lines


def test_a_plan_that_has_become_empty_is_another_one(site: Site) -> None:
    expected = site.run(WANTED, dry_run=True).plan or ""
    site.run(WANTED)
    empty = site.run(WANTED, dry_run=True)
    assert empty.outcomes == ()
    assert code(site.run(WANTED, expect=frozenset({expected}))) == 3
    assert code(site.run(WANTED, expect=frozenset({empty.plan or ""}))) == 0


def test_the_expected_plan_does_not_pass_the_guard(site: Site) -> None:
    refused = site.run(roster(), dry_run=True)
    result = site.run(roster(), expect=frozenset({refused.plan or ""}))
    assert code(result) == 3
    assert "--max-removals" in result.refusals[0]


def test_a_password_that_changes_once_more_is_the_same_plan(site: Site) -> None:
    plans = {site.run(roster("ann", "bob", password=text), dry_run=True).plan for text in (OTHER_PASSWORD, "third-1-A")}
    assert len(plans) == 1
