"""What stops a run before it starts, what stops it on its way, and what a terminal shows."""

import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import sys
import time

from tests.e2e.site import ROOT, Site


def script(site: Site, *options: str) -> list[str]:
    """The command line of the script."""
    path = ROOT / "scripts" / f"{site.adapter.engine}_sync.py"
    return [sys.executable, str(path), "--config", str(site.directory), *options]


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
    assert run.result["error"]
    assert "Wrong-admin-password-1" not in run.out + run.err
    site.configure(port=1, connect_timeout=2)
    assert site.run().code == 2


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
        holder.acquire_lock()
        run = site.run()
        assert run.code == 2
        assert "another sync" in run.result["error"]
    site.sync()


def test_sigterm_finishes_what_runs_and_starts_nothing_new(site: Site) -> None:
    site.users(*(f"u{number:03}" for number in range(60)))
    with subprocess.Popen(
        script(site, "--output", "json", "--jobs", "1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not site.audit() and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert "SIGTERM" in err
    assert process.returncode == 1
    assert '"not_attempted"' in out
    assert '"failed": 0' in out
    site.converge()


def test_progress_on_a_terminal_and_a_report_without_it(site: Site) -> None:
    number = 600 if site.adapter.server.engine == "mariadb" else 60  # progress is shown after a second
    users = site.users(*(f"u{number:03}" for number in range(number)))
    ours, theirs = pty.openpty()
    report = site.directory / "report"
    with (
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
    assert process.returncode == 0
    assert f"/{5 * number}" in shown.decode(errors="replace")
    assert len([line for line in out.splitlines() if line.strip().startswith("done")]) == 5 * len(users)
    made = f"{number} create_user, {2 * number} create_database, {2 * number} grant_privileges"
    assert f"{number} users, 0 unchanged: {made}" in out
    assert "\x1b" not in out
