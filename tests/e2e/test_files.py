"""Files that change, are cut or can't be written, with the real scripts on real servers."""

import shlex
import subprocess
import sys

import pytest
import yaml

from tests.contract.world import PASSWORD
from tests.e2e.conftest import on_one_product
from tests.e2e.site import ROOT, Site


@on_one_product
def test_a_leaver_who_was_put_back_meanwhile(site: Site) -> None:
    """A5: the roster's program prints her when it runs again, under the lock."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    without = f"{ann}:{PASSWORD}"
    program = f"if mkdir ran; then echo {shlex.quote(without)}; else cat was; fi"
    (site.directory / "users.txt").rename(site.directory / "was")
    connections = yaml.safe_load((site.directory / "connections.yaml").read_text())
    site.write("connections.yaml", yaml.safe_dump({**connections, "users_command": ["sh", "-c", program]}))
    run = site.run("--max-removals", "all", output="text")
    assert run.code == 1, run.out
    assert "users_command changed meanwhile, run again" in run.out
    assert {ann, bob} <= site.adapter.accounts()
    site.in_step()
    site.everybody_is_at_home()


@pytest.mark.parametrize("adapter", ["postgresql"], indirect=True)
@pytest.mark.parametrize("redirected", ["> /dev/full", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_report_that_nobody_gets(site: Site, redirected: str) -> None:
    """C9: the changes are made, the audit log has them, and the exit code is that of the run."""
    ann, bob = site.users("ann", "bob")
    script = ROOT / "scripts" / f"{site.adapter.engine}_sync.py"
    command = f"{sys.executable} {script} --config {site.directory} {redirected}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert ("what was done stands in" in done.stderr) is ("2>&-" not in redirected)
    assert {ann, bob} <= site.adapter.accounts()
    assert site.audit()[-1]["status"] == "done"
    site.in_step()
