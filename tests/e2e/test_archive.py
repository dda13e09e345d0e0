"""The real scripts with `archive_dir`: dropped databases come back, and no archive means no drop."""

import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import on_one_product
from tests.e2e.site import PASSWORD, ROOT, TEMPLATES, Run, Site
from tests.support import warm

PROGRAMS = ("pg_dump", "pg_restore", "mysqldump", "mysql", "mariadb-dump", "mariadb")


def dbroster(site: Site, *arguments: str) -> Run:
    """Run `dbroster VERB ENGINE ...` as a process of its own."""
    verb, *rest = arguments
    program = ["-m", "dbroster", verb, site.adapter.engine, *rest, "--config", str(site.directory), "--output", "json"]
    return Run(*warm.run(program))


def with_archives(site: Site) -> Path:
    site.configure(removals={"archive_dir": "archives", "max": "all"})
    return site.directory / "archives"


def archive_of(archives: Path, database: str) -> Path:
    (found,) = [path for path in archives.rglob(f"{database}-*") if path.suffix != ".json"]
    return found


def test_a_user_who_left_comes_back_with_everything(site: Site) -> None:
    archives, (bob, _) = with_archives(site), site.users("bob", "ann")
    site.sync()
    for template in TEMPLATES:
        site.adapter.put(bob, PASSWORD, f"{bob}_{template}", f"a row of {template}")
    site.users("ann")
    site.converge()
    assert not site.adapter.can_login(bob, PASSWORD)
    site.users("bob", "ann")
    site.sync()
    for template in TEMPLATES:
        restored = dbroster(site, "restore", str(archive_of(archives, f"{bob}_{template}")))
        assert restored.code == 0, restored.out + restored.err
        assert site.adapter.get(bob, PASSWORD, f"{bob}_{template}") == [f"a row of {template}"]
        again = dbroster(site, "restore", str(archive_of(archives, f"{bob}_{template}")))
        assert again.code == 1
        assert "not empty" in again.out
    site.in_step()
    site.everybody_is_at_home()
    verbs = [line["action"] for line in site.audit() if line["status"] == "done"]
    assert (verbs.count("archive_database"), verbs.count("restore_database")) == (2, 2)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (archives, *archives.rglob("*")))


def test_a_full_disk_drops_nothing(site: Site) -> None:
    """The limit is on the size of files of the script and of the programs that it starts."""
    archives, (bob, _) = with_archives(site), site.users("bob", "ann")
    site.sync()
    chance = random.Random(7)
    rows = ["".join(chance.choices("0123456789abcdef", k=60_000)) for _ in range(8)]
    for row in rows:
        site.adapter.put(bob, PASSWORD, f"{bob}_web", row)
    site.users("ann")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limited = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {hard}));"
    script = ROOT / "scripts" / f"{site.adapter.engine}_sync.py"
    done = subprocess.run(
        [sys.executable, "-c", f"{limited} os.execv(sys.executable, sys.argv[1:])", sys.executable, str(script),
         "--config", str(site.directory), "--output", "json"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    run = Run(done.returncode, done.stdout, done.stderr)
    assert run.code == 1, run.out + run.err
    statuses = {(a["action"], a["database"]): a["status"] for a in run.result["actions"]}
    assert statuses["archive_database", f"{bob}_web"] == "failed"
    assert {status for (action, _), status in statuses.items() if action.startswith("drop")} == {"skipped"}
    assert {f"{bob}_{template}" for template in TEMPLATES} <= site.adapter.databases()
    assert not list(archives.rglob(f"{bob}_web*"))
    assert not site.adapter.can_login(bob, PASSWORD)
    site.users("bob", "ann")
    site.sync()
    assert sorted(site.adapter.get(bob, PASSWORD, f"{bob}_web")) == sorted(rows)


def test_no_password_reaches_the_programs_command_line_or_environment(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives, (bob, _), notes = with_archives(site), site.users("bob", "ann"), tmp_path / "notes"
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in filter(shutil.which, PROGRAMS):
        spy = f"tr '\\0' '\\n' < /proc/$$/environ >> {notes}; tr '\\0' '\\n' < /proc/$$/cmdline >> {notes}"
        (programs / name).write_text(f'#!/bin/sh\n{spy}\nexec {shutil.which(name)} "$@"\n')
        (programs / name).chmod(0o755)
    site.sync()
    site.users("ann")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    # PostgreSQL's programs of the server's own major are taken from their usual place, before the PATH
    hide = "from dbroster.engines.postgresql import client_programs\nclient_programs._PLACES = ()\n"
    (programs / "sitecustomize.py").write_text(hide)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(programs)]))
    site.sync()
    site.users("bob", "ann")
    site.sync()
    restored = dbroster(site, "restore", str(archive_of(archives, f"{bob}_web")))
    assert restored.code == 0, restored.out + restored.err
    runs_programs = site.adapter.engine in ("postgresql", "mysql")
    assert notes.exists() is runs_programs
    written = [path.read_text(errors="replace") for path in archives.rglob("*.json")]
    seen = "\n".join([*written, restored.out, restored.err, notes.read_text() if runs_programs else ""])
    for secret in (PASSWORD, str(site.adapter.section()["password"])):
        assert secret not in seen


@on_one_product
def test_an_open_archive_directory_is_refused(site: Site) -> None:
    archives = with_archives(site)
    archives.mkdir(mode=0o755)
    run = site.run("--dry-run")
    assert run.code == 2
    assert "chmod 700" in run.out
    archives.chmod(0o700)
    assert site.run("--dry-run").code == 0
