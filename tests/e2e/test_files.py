"""Files that change, are cut or can't be written, with the real scripts on real servers."""

import shlex

import yaml

from tests.contract.world import PASSWORD
from tests.e2e.site import Site


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
