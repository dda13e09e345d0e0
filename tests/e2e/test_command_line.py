"""What stops a run before it starts, what stops it on its way, and what a terminal shows."""

import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from dbroster.report.plain.by_user import MOST
from tests.e2e.conftest import on_one_product
from tests.e2e.site import ROOT, Site


def script(site: Site, *options: str) -> list[str]:
    """The command line of the script."""
    path = ROOT / "scripts" / f"{site.adapter.engine}_sync.py"
    return [sys.executable, str(path), "--config", str(site.directory), *options]


@contextlib.contextmanager
def at_work(site: Site, happens: Callable[[], None]) -> Iterator[None]:
    """Let something happen when the script is about to make the first change, which waits until it has happened."""
    happened = threading.Event()

    def before() -> None:
        if len(site.audit()) > 1 and not happened.is_set():
            happened.set()
            happens()

    with site.adapter.relay(before=before) as relay:
        site.configure(None, **site.adapter.relayed(relay))
        yield
    site.configure()
    assert happened.is_set()


@on_one_product
def test_a_roster_that_others_can_read_is_refused(site: Site) -> None:
    site.users("ann")
    (site.directory / "users.txt").chmod(0o644)
    run = site.run()
    assert run.code == 2
    assert "chmod 600" in run.out
    assert "0644" in run.out
    assert site.name("ann") not in site.adapter.accounts()
    (site.directory / "users.txt").chmod(0o640)
    site.sync()


@on_one_product
def test_every_problem_is_shown(site: Site) -> None:
    site.users_file(b"no-colon\n")
    (site.directory / "users.txt").chmod(0o604)
    (site.directory / f"{site.adapter.engine}_databases.txt").write_text("we b\n")
    site.configure(prot=1, connect_timeout="soon")
    run = site.run()
    assert run.code == 2
    texts = " ".join(problem["text"] for problem in run.result["problems"])
    for word in ("prot: unknown key", "did you mean", "connect_timeout", "0604", "no colon", "template"):
        assert word in texts


def test_a_wrong_admin_password_and_a_dead_server(site: Site) -> None:
    site.users("ann")
    site.configure(password="Wrong-admin-password-1")
    run = site.run()
    assert (run.code, run.actions) == (2, set())
    lines = list(filter(None, run.result["error"].splitlines()))
    assert len(lines) == len(set(lines)), "libpq says what it is told by each of two attempts"
    told = f"dbroster grants {site.adapter.engine} --config {site.directory}"
    assert run.result["error"].endswith(f"if there is no such account yet, this tells how to make it: {told}")
    assert "Wrong-admin-password-1" not in run.out + run.err
    site.configure(port=1, connect_timeout=2)
    run = site.run()
    assert run.code == 2
    assert "grants" not in run.result["error"]
    assert "object at" not in run.result["error"]
    assert "Plain(" not in run.result["error"]


@on_one_product
def test_a_second_sync_of_the_same_directory_is_refused(site: Site) -> None:
    site.users("ann")
    lock = site.directory / f".{site.adapter.engine}-default.lock"
    with lock.open("w") as file:
        file.write("process 42, since today")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        run = site.run()
        assert run.code == 2
        assert "process 42" in run.result["error"]
        assert site.run("--dry-run").code == 0
    site.sync()


def test_a_sync_from_another_directory_is_refused_by_the_server(site: Site) -> None:
    site.users("ann")
    holder = site.adapter.connect(site.adapter.connection(site.directory, site.prefix))
    with holder:
        holder.acquire_sync_lock()
        run = site.run()
        assert run.code == 2
        assert "another sync" in run.result["error"]
    site.sync()


def told_to_stop(process: "subprocess.Popen[str]") -> str:
    """Send SIGTERM, and return what the script says to it."""
    process.send_signal(signal.SIGTERM)
    assert process.stderr
    return process.stderr.readline()


def test_sigterm_finishes_what_runs_and_starts_nothing_new(site: Site) -> None:
    site.users(*(f"u{number:03}" for number in range(20)))
    said: list[str] = []
    report = site.directory / "report"
    with (
        at_work(site, lambda: said.append(told_to_stop(process))),
        report.open("w") as stdout,
        subprocess.Popen(
            script(site, "--output", "json", "--jobs", "1"), stdout=stdout, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        process.wait(60)
    assert "SIGTERM" in said[0]
    assert process.returncode == 1
    out = report.read_text()
    assert '"not_attempted"' in out
    assert '"failed": 0' in out
    site.converge()


@on_one_product
def test_a_second_sigterm_breaks_off_and_the_next_run_converges(site: Site) -> None:
    site.users(*(f"u{number:03}" for number in range(20)))

    def stop_twice() -> None:
        told_to_stop(process)
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    with (
        at_work(site, stop_twice),
        subprocess.Popen(
            script(site, "--jobs", "1"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        process.wait(60)
    assert process.returncode in (-signal.SIGTERM, 1)
    site.sync()
    site.in_step()


@on_one_product
def test_a_reader_who_goes_away_is_no_failure(site: Site) -> None:
    site.users("ann")
    with subprocess.Popen(script(site), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")
    site.in_step()


@on_one_product
def test_a_name_that_there_is_nothing_to_adopt_of(site: Site) -> None:
    site.users("ann")
    run = site.sync("--adopt", site.name("amn"))
    (warning,) = [p for p in run.result["problems"] if p["user"] == site.name("amn")]
    assert warning["warning"]


@on_one_product
def test_progress_on_a_terminal_and_a_report_without_it(site: Site) -> None:
    """Progress is shown after a second, so the first change waits for longer than that."""
    number = 20
    users = site.users(*(f"u{index:03}" for index in range(number)))
    ours, theirs = pty.openpty()
    report = site.directory / "report"
    with (
        at_work(site, lambda: time.sleep(1.2)),
        report.open("w") as stdout,
        subprocess.Popen(script(site, "--jobs", "1"), stdout=stdout, stderr=theirs) as process,
    ):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's end is an error on Linux
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    out = report.read_text()
    assert process.returncode == 0, out
    assert f"/{5 * number}" in shown.decode(errors="replace")
    assert len([line for line in out.splitlines() if line.startswith("  + ")]) == min(len(users), MOST - 1)
    assert f"{number} users, 0 unchanged: {number} new, {2 * number} databases created\n" in out
    assert "\x1b" not in out
