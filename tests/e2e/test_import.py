"""A server that others made, taken over with the commands that `dbroster import` says: for every product.

All by the admin that `dbroster grants` makes, so with the least privileges.
"""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.site import ROOT, Run, Site
from tests.e2e.test_grants import CLEANING, grants
from tests.support import warm
from tests.support.admin_script import pipe

SECRET = "An-admin-of-the-import-7"
OLD = "Old-by-hand-password-7"

HAND_MADE = {"ann": "web tools", "bob": "web", "cyd": "web tools old", "dan": "web", "eve": "", "fay": "tools"}
"""Whose databases a DBA has made. Dan is locked, and somebody else has fay_web."""

ELSEWHERE = {
    "mysql": ("CREATE USER '{name}'@'localhost' IDENTIFIED BY '" + OLD + "'", "{name}@localhost: `hosts` of"),
    "mongodb": (
        json.dumps({"createUser": "{name}", "pwd": OLD, "roles": []}).replace('{"', '{{"').replace("]}", "]}}"),
        "{name}@{name}_web: it is defined in {name}_web, and dbroster manages accounts of admin only",
    ),
}
"""Accounts that no roster could have as they stand."""

_FOR_ROOT = re.compile(r"(?:run as root|a superuser runs): (.*)")
"""ALL is more than the admin of MariaDB has to give, and so to take; that of PostgreSQL 16 may change its own roles."""


@pytest.fixture
def made(site: Site) -> Iterator[Site]:
    """A server that others made, and a config directory whose admin has been made by `dbroster grants`."""
    admin = f"adm_{site.prefix}"
    site.templates("other")
    left = {name for name in site.adapter.accounts() if name.isidentifier() and not name.startswith(site.prefix)}
    others = sorted(left - {site.adapter.server.admin_user})
    site.configure(username=admin, password=SECRET, protected=others)  # what other tests of this server have left
    pipe(site.adapter.server, grants(site, "--show").out)
    with _by_hand(site):
        yield site
    site.configure()
    site.users()
    site.run("--max-removals", "all")
    for statement in CLEANING[site.adapter.engine]:
        site.adapter.server.admin(statement.format(admin=admin))


@contextmanager
def _by_hand(site: Site) -> Iterator[None]:
    adapter, engine = site.adapter, site.adapter.engine
    for short, endings in HAND_MADE.items():
        adapter.create_account_by_hand(site.name(short), OLD)
        for ending in endings.split():
            adapter.hand_over_by_hand(site.name(short), f"{site.name(short)}_{ending}")
            adapter.put(site.name(short), OLD, f"{site.name(short)}_{ending}", f"{short}'s {ending}")
    adapter.lock_by_hand(site.name("dan"))
    adapter.create_database_by_hand(site.name("fay_web"))
    adapter.create_database_by_hand(f"shop_{site.prefix}")
    adapter.create_database_by_hand(f"{site.prefix}x\x1b[2J")
    name = site.name("gus")
    if statement := ELSEWHERE.get(engine, ("",))[0]:
        adapter.server.admin(statement.format(name=name), *([f"{name}_web"] if engine == "mongodb" else []))
    yield
    adapter.drop_database_by_hand(f"shop_{site.prefix}")
    if engine == "mongodb":
        adapter.server.admin(json.dumps({"dropUser": name}), f"{name}_web")


def dbroster(*words: str) -> Run:
    return Run(*warm.run(["-m", "dbroster", *words]))


def script(site: Site, words: list[str], *options: str) -> Run:
    """Run what `dbroster sync ENGINE ...` or `plan` does by the engine's own script."""
    verb, engine, *rest = words
    assert engine == site.adapter.engine
    dry = ["--dry-run"] if verb == "plan" else []
    path = str(ROOT / "scripts" / f"{engine}_sync.py")
    return Run(*warm.run([path, *rest, *dry, "--output", "json", *options]))


def test_a_server_that_others_made_is_taken_over(made: Site, tmp_path: Path) -> None:
    site, adapter, to = made, made.adapter, tmp_path / "to"
    ann, bob, cyd, dan, eve, fay = (site.name(short) for short in HAND_MADE)
    product = "mariadb" if adapter.server.engine == "mariadb" else adapter.engine
    words = ["import", product, "--config", str(site.directory)]
    _first_of_all(site, words)
    before = {user: adapter.fingerprint(user) for user in (ann, bob, cyd, dan, eve, fay)}
    told = dbroster(*words, "--to", str(to))
    assert told.code == 0, told.out + told.err
    assert {user: adapter.fingerprint(user) for user in before} == before
    _tells_what_does_not_fit(site, told)
    adopted = [line for line in (to / "adopt.txt").read_text().splitlines() if line[0] != "#"]
    assert adopted == [ann, bob]
    new = dict(line.split(":", 1) for line in (to / "users.txt").read_text().splitlines() if line[0] != "#")
    assert not any(password in told.out + told.err for password in new.values())

    steps = [shlex.split(line, comments=True)[1:] for line in told.out.partition("\nnext:\n")[2].splitlines()]
    if steps[0][0] == "grants":
        pipe(adapter.server, dbroster(*steps.pop(0)).out)
    plan, sync, again, _ = steps
    pending = script(site, plan, "--detailed-exitcode")
    assert (pending.code, pending.statuses()) == (4, {"planned"}), pending.out + pending.err
    done = script(site, sync)
    assert (done.code, done.statuses()) == (0, {"done"}), done.out + done.err
    assert done.actions == pending.actions
    for words in (again, plan):
        quiet = script(site, words, "--detailed-exitcode")
        assert (quiet.code, quiet.actions) == (0, set()), quiet.out + quiet.err

    for user, endings in ((ann, ("web", "tools")), (bob, ("web",))):
        assert not adapter.can_login(user, OLD)
        for ending in endings:
            assert adapter.get(user, new[user], f"{user}_{ending}") == [f"{user.removeprefix(site.prefix)}'s {ending}"]
    assert adapter.can_write(bob, new[bob], f"{bob}_tools")
    assert not adapter.can_read(bob, new[bob], f"{ann}_web")
    assert {user: adapter.fingerprint(user) for user in (cyd, dan, eve, fay)} == {
        user: before[user] for user in (cyd, dan, eve, fay)
    }
    assert adapter.get(cyd, OLD, f"{cyd}_old") == ["cyd's old"]
    assert adapter.get(fay, OLD, f"{fay}_tools") == ["fay's tools"]
    assert {f"{dan}_web", f"{fay}_web", f"shop_{site.prefix}"} <= adapter.databases()


def _first_of_all(site: Site, words: list[str]) -> None:
    """Do what an import by this admin asks for, where it does: first nobody can be proposed, or not even be seen."""
    if site.adapter.engine == "mysql":
        blind = dbroster(*words)
        assert blind.code == 2, blind.out
        (statement,) = (line for line in blind.err.splitlines() if "SHOW DATABASES" in line)
        pipe(site.adapter.server, statement)
    statements = _FOR_ROOT.findall(dbroster(*words).out)
    assert bool(statements) is (site.adapter.server.engine == "mariadb" or _roles_belong_to_who_made_them(site))
    pipe(site.adapter.server, "\n".join(dict.fromkeys(statements)))


def _roles_belong_to_who_made_them(site: Site) -> bool:
    """PostgreSQL 16 and newer."""
    version = site.adapter.server.told_version.removeprefix("PostgreSQL ")
    return site.adapter.engine == "postgresql" and int(version.partition(".")[0].rstrip("rc1")) > 15


def test_a_look_changes_nothing(site: Site) -> None:
    with _by_hand(site), site.adapter.changes() as changes:
        assert dbroster("import", site.adapter.engine, "--config", str(site.directory)).code == 0
    assert changes == []


def _tells_what_does_not_fit(site: Site, told: Run) -> None:
    cyd, dan, eve, fay, gus = (site.name(short) for short in ("cyd", "dan", "eve", "fay", "gus"))
    for text in (
        f"account {cyd}: with the account {cyd} its database {cyd}_old",
        f"account {dan}: nobody can log in to it",
        f"account {eve}: it has no database whose name begins with {eve}_",
        f"account {fay}: a sync would take over the database {fay}_web",
        f"database shop_{site.prefix}: its name does not begin with",
        *(
            f"account {text.format(name=gus)}"
            for engine, (_, text) in ELSEWHERE.items()
            if engine == site.adapter.engine
        ),
    ):
        assert f"\n  {text}" in told.out, told.out
    assert f"\n  database {site.prefix}x?[2J: its name does not begin with" in told.out
    assert "\x1b" not in told.out
