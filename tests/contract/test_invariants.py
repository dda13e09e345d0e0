"""The nine invariants of the design, each through whole syncs: dry run, run, dry run."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from dbroster.engines.base import Handler
from dbroster.errors import ConfigError
from dbroster.model.connection import Connection
from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from dbroster.passwords.secret import Secret
from dbroster.run import apply
from tests.contract.team import Team, assert_well, own, performed, reports
from tests.contract.test_passwords import HOSTILE
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World

THREE = {"bob": PASSWORD, "al": OTHER_PASSWORD, "carl": PASSWORD + "!"}


@pytest.fixture
def team(world: World) -> Team:
    return Team(world)


# --- 1 ----------------------------------------------------------------------------------------------------------------


def test_invariant_1_nothing_without_our_marker_is_changed(team: Team) -> None:
    world, adapter = team.world, team.adapter
    eve, other, ann, bob = world.foreign_user(), world.other_roster(), world.name("ann"), world.name("bob")
    other.create_user(ann, Secret(PASSWORD))
    world.database(ann, "web", other)
    adapter.put(ann, PASSWORD, f"{ann}_web", "hers")
    for database in (f"{eve}_web", f"{bob}_web"):
        adapter.create_database_by_hand(database)
    before = {name: adapter.fingerprint(name) for name in (eve, ann)}
    admin = world.handler.connection.username
    lines = [f"{name}:{OTHER_PASSWORD}" for name in (admin, "root", "postgres", "mysql.sys")]
    for users in (
        {"eve": OTHER_PASSWORD, "ann": OTHER_PASSWORD, "bob": PASSWORD, "al": PASSWORD},
        {"al": PASSWORD},
        {},
    ):
        team.write_users(users, *lines)
        dry, real = team.run(dry_run=True), team.run()
        touched = {outcome.action.user for outcome in (*dry.outcomes, *real.outcomes)}
        assert touched <= {world.name("al")}
        assert {conflict.user for conflict in real.conflicts} == {world.name(u) for u in users if u != "al"}
        assert {name: adapter.fingerprint(name) for name in (eve, ann)} == before
        assert {f"{eve}_web", f"{bob}_web"} <= adapter.databases()
        assert adapter.get(ann, PASSWORD, f"{ann}_web") == ["hers"]
    assert own(adapter.accounts(), world.prefix) == {eve, ann}
    assert world.open().get_existing_users()[admin].protected


# --- 2 ----------------------------------------------------------------------------------------------------------------

TELLTALE = "Tell-tale-0815"


def test_invariant_2_no_password_gets_out(team: Team, capfd: pytest.CaptureFixture[str]) -> None:
    world = team.world
    team.sync({"bob": TELLTALE + "-bob1", "al": TELLTALE + "-al"})
    eve = world.foreign_user()
    users = {short: f"{TELLTALE}-{short}2" for short in ("bob", "carl", "eve")}
    team.write_users({**users, "dan": TELLTALE + " "}, "nonsense " + TELLTALE)
    results = [team.run(dry_run=True), _run_with_a_race(team, "carl"), team.run(), team.run(adopt=[eve])]
    done = {(o.action.verb, o.status) for result in results for o in result.outcomes}
    assert done >= {
        (Verb.CREATE_USER, Status.FAILED),
        (Verb.UPDATE_PASSWORD, Status.DONE),
        (Verb.ADOPT, Status.DONE),
    }
    verifiers = team.adapter.verifiers(world.handler)
    assert verifiers
    written = [path.read_text(errors="replace") for path in _written(team.directory)]
    said = "".join(capfd.readouterr())
    for text in (reports(*results), said, *written):
        assert TELLTALE not in text
        assert not [verifier for verifier in verifiers if verifier in text]
    log = team.adapter.log_text()
    assert eve in log  # the log is alive
    assert TELLTALE not in log


def _written(directory: Path) -> list[Path]:
    """Every file in the config directory that dbroster itself wrote."""
    own_files = ("users.txt", "connections.yaml")
    return [path for path in directory.rglob("*") if path.is_file() and path.name not in own_files]


# --- 3 ----------------------------------------------------------------------------------------------------------------

BEFORE = {"bob": PASSWORD, "al": PASSWORD, "gone": PASSWORD}
AFTER = {"bob": OTHER_PASSWORD, "al": PASSWORD, "new": PASSWORD}


def test_invariant_3_killed_at_any_point_the_next_run_converges(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "PAUSE", 0.0)  # a dead program does not try again
    monkeypatch.setattr(apply, "RETRIES", 0)
    messages, hurt = _killed_run(team, None)
    assert not hurt
    moments = _moments(messages, team.adapter.kills)
    runs = [_killed_run(team, moment, answer_lost=moment % 2 == 0) for moment in moments]
    assert sum(hurt for _, hurt in runs) >= len(moments) // 2  # a kill after the last change hurts nobody


def _moments(messages: int, kills: int) -> list[int]:
    """Every moment of a run, or some that are spread over all of it; other ones each time."""
    step = max(1.0, messages / kills)
    return [1 + int(step * number + random.random() * (step - 1)) for number in range(min(messages, kills))]


def _killed_run(team: Team, moment: int | None, *, answer_lost: bool = True) -> tuple[int, bool]:
    """Kill the run from BEFORE to AFTER at a moment, check what it left, and let another run finish.

    Return how many messages the first run sent, and whether it was stopped before its end.
    """
    world, adapter = team.world, team.adapter
    team.write_templates("web", "data")
    team.sync(BEFORE)
    team.write_users(AFTER)
    team.write_templates("web", "more")
    hurt = True
    with adapter.doomed(moment, answer_lost=answer_lost) as doomed:
        result = team.run(connect=doomed.connect)
        hurt = result.fatal is not None or any(outcome.status is not Status.DONE for outcome in result.outcomes)
    assert not world.half_managed(), moment
    assert_well(team.run())
    team.assert_in_step(AFTER, ("web", "more"))
    return doomed.messages(), hurt


# --- 4 ----------------------------------------------------------------------------------------------------------------


def test_invariant_4_one_users_failure_stops_no_other(team: Team) -> None:
    world = team.world
    team.sync({"old": PASSWORD})
    team.write_users(THREE)
    result = _run_with_a_race(team, "bob")
    statuses = {(o.action.user, o.action.verb): o.status for o in result.outcomes}
    bob = world.name("bob")
    assert statuses[bob, Verb.CREATE_USER] is Status.FAILED
    assert {status for (user, verb), status in statuses.items() if user == bob and verb is not Verb.CREATE_USER} == {
        Status.SKIPPED
    }
    assert {status for (user, _), status in statuses.items() if user != bob} == {Status.DONE}
    for short in ("al", "carl"):
        assert team.adapter.can_write(world.name(short), THREE[short], f"{world.name(short)}_web")
    assert team.adapter.can_login(bob, "made-by-hand-1A")
    assert world.name("old") not in team.adapter.accounts()


def _run_with_a_race(team: Team, short: str) -> Result:
    """Sync while a DBA creates an account of this name between the plan and the changes."""
    opened = []

    def connect(connection: Connection) -> Handler:
        opened.append(connection)
        if len(opened) == 2:  # the first one reads, the second one is the first to change something
            team.adapter.create_account_by_hand(team.world.name(short), "made-by-hand-1A")
        return team.adapter.connect(connection)

    return team.run(connect=connect)


# --- 5 and 6 ----------------------------------------------------------------------------------------------------------


def test_invariant_5_a_second_run_sends_no_change(team: Team) -> None:
    users = {f"u{number}": text for number, text in enumerate(HOSTILE.values()) if team.adapter.carries(text)}
    with team.adapter.changes() as first:
        team.sync(users)
    assert first
    with team.adapter.changes() as second:
        result = team.sync(users)
    assert second == []
    assert result.outcomes == ()
    assert result.unchanged == len(users)


def test_invariant_6_a_dry_run_tells_exactly_what_the_run_does(team: Team) -> None:
    team.sync(BEFORE)
    team.write_users(AFTER)
    team.write_templates("web", "more")
    with team.adapter.changes() as changes:
        dry = team.run(dry_run=True)
    assert changes == []
    real = team.run()
    assert_well(real)
    assert {outcome.status for outcome in dry.outcomes} == {Status.PLANNED}
    assert performed(dry.outcomes) == performed(real.outcomes)
    assert {action.verb for action in performed(real.outcomes)} >= {
        Verb.CREATE_USER,
        Verb.UPDATE_PASSWORD,
        Verb.CREATE_DATABASE,
        Verb.GRANT_PRIVILEGES,
        Verb.LOCK_USER,
        Verb.DROP_DATABASE,
        Verb.DROP_USER,
    }
    team.assert_in_step(AFTER, ("web", "more"))


# --- 7 ----------------------------------------------------------------------------------------------------------------


def test_invariant_7_reading_takes_as_many_queries_for_60_users_as_for_3(team: Team) -> None:
    counts = []
    for size in (3, 60):
        users = {f"u{number}": PASSWORD for number in range(size)}
        team.write_templates("web" if size == 3 else "")
        team.write_users(users)
        assert team.run().fatal is None
        with team.adapter.doomed(None) as immortal:
            dry = team.run(dry_run=True, connect=immortal.connect)
            counts.append(immortal.questions() - size * team.adapter.messages_per_check)
        assert (dry.users, dry.unchanged) == (size, size)
    # Two messages of a handshake may arrive as one; the contract of reading counts exactly, on an open connection.
    assert 0 < counts[1] <= counts[0] + 2


# --- 8 ----------------------------------------------------------------------------------------------------------------


def _lines(team: Team, *shorts: str) -> str:
    return "".join(f"{team.world.name(short)}:{THREE[short]}\n" for short in shorts or THREE)


def _glue(end: str, team: Team) -> None:
    """Replace the end of the first line by what some other program takes for one."""
    team.write_raw(_lines(team).replace("\n", end, 1).encode())


BREAKAGES: dict[str, Callable[[Team], object]] = {
    "no colon, all others gone": lambda team: team.write_raw(b"what is this\n"),
    "a line without a colon": lambda team: team.write_users({"al": THREE["al"]}, "what is this"),
    "a broken byte": lambda team: team.write_raw(b"b\xffb:Correct-horse-7-battery\n"),
    "empty passwords": lambda team: team.write_users({"bob": "", "al": "", "carl": ""}),
    "weak passwords": lambda team: team.write_users({"bob": "x", "al": "x", "carl": "x"}),
    "two passwords": lambda team: team.write_users(
        THREE, *(f"{team.world.name(short)}:Another-1-password" for short in THREE)
    ),
    "two cases": lambda team: team.write_users({**THREE, **{short.upper(): PASSWORD for short in THREE}}),
    "an empty file": lambda team: team.write_raw(b""),
    "only comments": lambda team: team.write_raw(b"# nobody\n\n"),
    "a missing file": lambda team: team.users_file.unlink(),
    "a directory": lambda team: _make_a_directory(team.users_file),
    "a file that others may read": lambda team: team.users_file.chmod(0o644),
    "no templates file": lambda team: team.templates_file.unlink(),
    "a file cut in a line": lambda team: team.write_raw(_lines(team)[:-9].encode()),
    "a file cut in a comment": lambda team: team.write_raw(f"{_lines(team, 'bob', 'al')}# and no".encode()),
    "a template list cut in a line": lambda team: team.templates_file.write_text("web\nda"),
    **{
        f"two lines glued by U+{ord(end):04X}": partial(_glue, end)
        for end in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\0\ufeff"
    },
    "an empty templates file": lambda team: team.write_templates(),
    "a broken template line": lambda team: team.write_templates("web", "da ta"),
}


def _breakages(team: Team) -> Mapping[str, Callable[[Team], object]]:
    """All of them; with a real server one sign that glues is enough, since the file is read the same for all."""
    if team.adapter.engine == "fake":
        return BREAKAGES
    others = [name for name in BREAKAGES if name.startswith("two lines glued")][1:]
    return {name: damage for name, damage in BREAKAGES.items() if name not in others}


def test_invariant_8_what_is_broken_removes_nothing(team: Team, subtests: pytest.Subtests) -> None:
    """A7: a file that was cut, or whose lines are glued, too."""
    team.sync(THREE)
    accounts, databases = _possessions(team)
    before = {name: team.adapter.fingerprint(name) for name in accounts}
    for name, damage in _breakages(team).items():
        with subtests.test(name):
            damage(team)
            with suppress(ConfigError):
                result = team.run(removals=None)
                assert result.problems or result.refusals
                assert not {o.action.verb for o in result.outcomes if o.status is not Status.REFUSED} & {
                    Verb.DROP_DATABASE,
                    Verb.DROP_USER,
                    Verb.LOCK_USER,
                }
            assert _possessions(team) == (accounts, databases)
            assert {name: team.adapter.fingerprint(name) for name in accounts} == before
        _mend(team)


def _make_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _possessions(team: Team) -> tuple[set[str], set[str]]:
    adapter, prefix = team.adapter, team.world.prefix
    return own(adapter.accounts(), prefix), own(adapter.databases(), prefix)


def _mend(team: Team) -> None:
    if team.users_file.is_dir():
        team.users_file.rmdir()
    team.write_users(THREE)
    team.users_file.chmod(0o600)
    team.write_templates("web", "data")


def test_invariant_8_a_broken_line_protects_its_user_and_no_other(team: Team) -> None:
    team.sync(THREE)
    team.write_users({"bob": "", "al": THREE["al"]})
    team.run()
    assert {team.world.name("bob"), team.world.name("al")} == own(team.adapter.accounts(), team.world.prefix)
    assert team.adapter.can_write(team.world.name("bob"), THREE["bob"], f"{team.world.name('bob')}_web")


# --- 9 ----------------------------------------------------------------------------------------------------------------


def test_invariant_9_a_user_can_use_only_own_databases(team: Team) -> None:
    users: Mapping[str, str] = {**THREE, "al_data": PASSWORD, "bobX": PASSWORD}
    team.write_templates("web", "files")
    team.sync(users)
    adapter, world = team.adapter, team.world
    for short, password in users.items():
        adapter.put(world.name(short), password, f"{world.name(short)}_web", f"of {short}")
    for short, password in users.items():
        me = world.name(short)
        assert adapter.get(me, password, f"{me}_web") == [f"of {short}"]
        foreign = [f"{world.name(other)}_web" for other in users if other != short]
        for database in foreign:
            adapter.give_away(me, password, database, me)
            assert not adapter.can_read(me, password, database)
        assert not adapter.writable(me, password, foreign)
        if adapter.hides_databases:
            assert not adapter.visible(me, password) & set(foreign)
    assert_well(team.run(dry_run=True))
