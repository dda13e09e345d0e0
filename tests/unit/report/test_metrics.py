"""The file for Prometheus' textfile collector, as the official client's parser reads it."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbroster.errors import ConfigError
from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Result, Status
from dbroster.report.exit_codes import Exit
from dbroster.report.metrics import SUCCESS, as_metrics, write_metrics
from dbroster.report.report import Report
from tests.unit.report.test_by_user import did, new, result

Key = tuple[str, str, str]


def read(text: str) -> Mapping[Key, float]:
    """Each value by metric, server and status."""
    families = list(text_string_to_metric_families(text))
    assert {family.type for family in families} == {"gauge"}
    assert all(family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    found = {(s.name, s.labels["server"], s.labels.get("status", "")): s.value for s in samples}
    assert len(found) == len(samples)
    assert {s.labels["engine"] for s in samples} == {"postgresql"}
    return found


def report(*results: Result, codes: tuple[Exit, ...]) -> Report:
    return Report(results, codes, max(codes))


def test_a_link_in_the_place_of_the_draft_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X4: whose directory it is may put one there at any moment, and would read what it leads to."""
    secret, path = tmp_path / "secret", tmp_path / "m.prom"
    secret.touch(0o600)
    fsync = os.fsync

    def exchange(descriptor: int) -> None:
        fsync(descriptor)
        draft = Path(f"/proc/self/fd/{descriptor}").readlink()
        draft.unlink()
        draft.symlink_to(secret)

    monkeypatch.setattr(os, "fsync", exchange)
    write_metrics(report(result([], "a"), codes=(Exit.IN_STEP,)), path, 1000)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_what_is_told_of_each_server() -> None:
    failed = did(Verb.DROP_USER, "bob", status=Status.FAILED, error="no")
    problems = (Problem("no colon"), Problem("no TLS", warning=True), Problem("old", warning=True))
    good = result(new("ann"), "eu", users=3, unchanged=2, stages={"read": 0.25})
    bad = result(failed, "us", users=3, unchanged=3, problems=problems, fatal="the audit log is full")
    found = read(as_metrics(report(good, bad, codes=(Exit.IN_STEP, Exit.NOT_STARTED)), 1700000000.5, {}))
    assert {(name, status): value for (name, server, status), value in found.items() if server == "eu"} == {
        ("dbroster_last_run_timestamp_seconds", ""): 1700000000.5,
        (SUCCESS, ""): 1700000000.5,
        ("dbroster_run_duration_seconds", ""): 0.25,
        ("dbroster_exit_code", ""): 0,
        ("dbroster_users", ""): 3,
        ("dbroster_users_unchanged", ""): 2,
        ("dbroster_problems", ""): 0,
        ("dbroster_warnings", ""): 0,
        ("dbroster_actions", "done"): 7,
        **{("dbroster_actions", s): 0 for s in ("failed", "skipped", "not_attempted", "refused")},
    }
    assert (SUCCESS, "us", "") not in found
    assert found["dbroster_exit_code", "us", ""] == 2
    assert found["dbroster_actions", "us", "failed"] == 1
    assert (found["dbroster_problems", "us", ""], found["dbroster_warnings", "us", ""]) == (2, 2)


def test_the_last_success_outlives_failures(tmp_path: Path) -> None:
    path = tmp_path / "dbroster.prom"
    write_metrics(report(result([], "a"), result([], "b"), codes=(Exit.IN_STEP,) * 2), path, 1000)
    for now in (2000, 3000):
        write_metrics(report(result([], "a"), result([], "b"), codes=(Exit.IN_STEP, Exit.REFUSED)), path, now)
    found = read(path.read_text())
    assert (found[SUCCESS, "a", ""], found[SUCCESS, "b", ""]) == (3000, 1000)
    assert found["dbroster_last_run_timestamp_seconds", "b", ""] == 3000
    assert path.stat().st_mode & 0o777 == 0o644  # node_exporter is another user
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a}b", "a,b=c", "é"])
def test_any_name_of_a_server_is_one_label(tmp_path: Path, name: str) -> None:
    path = tmp_path / "dbroster.prom"
    for code, now in ((Exit.IN_STEP, 1000), (Exit.INCOMPLETE, 2000)):
        write_metrics(report(result([], name), codes=(code,)), path, now)
    assert read(path.read_text())[SUCCESS, name, ""] == 1000


def test_nothing_but_a_file_of_ours_is_replaced(tmp_path: Path) -> None:
    good = report(result([]), codes=(Exit.IN_STEP,))
    other = tmp_path / "users.txt"
    other.write_text("ann:secret\n")
    link = tmp_path / "link.prom"
    link.symlink_to(other)
    for path in (other, link, tmp_path, tmp_path / "missing" / "x.prom"):
        with pytest.raises(ConfigError):
            write_metrics(good, path, 1000)
    assert other.read_text() == "ann:secret\n"
    assert link.is_symlink()


def test_another_s_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, path, own = report(result([]), codes=(Exit.IN_STEP,)), tmp_path / "dbroster.prom", os.geteuid()
    write_metrics(good, path, 1000)
    if own == 0:
        os.chown(path, 4711, -1)
    else:
        monkeypatch.setattr("dbroster.files.write.os.geteuid", lambda: own + 1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        write_metrics(good, path, 2000)
    assert read(path.read_text())[SUCCESS, "default", ""] == 1000
