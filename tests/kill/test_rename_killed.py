"""SIGKILL for `dbroster rename` after any of its messages: no sync harms what is half done, and run again it ends."""

import signal
from collections.abc import Iterator

import pytest

from tests.conftest import Figure
from tests.contract.adapters import Adapter
from tests.contract.conftest import ADAPTERS
from tests.e2e.conftest import REAL
from tests.e2e.site import PASSWORD, TEMPLATES, Run, Site
from tests.kill.conftest import SOAK
from tests.kill.crime import PATIENCE
from tests.kill.test_script_killed import moments
from tests.support import warm

KEPT = {"archive_dir": "archives", "max": "all", "max_per_day": "all"}


@pytest.fixture(scope="module", params=REAL if SOAK else ["postgresql", "mongodb"])
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    """One that renames, and one that copies; all of them when there is time."""
    adapter = ADAPTERS[request.param](request.getfixturevalue(f"{request.param}_server"))
    yield adapter
    adapter.close()


class Naming:
    """A user who is called bob or robert in turn, with a row in each database."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.old, self.new = site.name("bob"), site.name("robert")
        site.configure(removals=KEPT)
        site.users("ann", "bob")
        site.sync()
        for template in TEMPLATES:
            site.adapter.put(self.old, PASSWORD, f"{self.old}_{template}", template)

    def start(self) -> warm.Process:
        """Start the rename."""
        files = ["--config", str(self.site.directory)]
        return warm.start(["-m", "dbroster", "rename", self.old, self.new, *files, "--output", "json"])

    def end(self, process: warm.Process) -> Run:
        out, err = process.communicate(timeout=PATIENCE)
        return Run(process.wait(), out, err)

    def messages(self) -> int:
        """How many messages it takes."""
        with self.site.adapter.relay() as relay:
            self.site.configure(None, removals=KEPT, **self.site.adapter.relayed(relay))
            run = self.end(self.start())
        self.site.configure(removals=KEPT)
        assert run.code == 0, run.out + run.err
        self.is_done()
        return relay.messages

    def killed(self, moment: int, *, answer_lost: bool) -> bool:
        """Kill it after so many messages."""
        victims: list[warm.Process] = []
        relay = self.site.adapter.relay(moment, at_end=lambda: victims[0].kill(), deliver_last=answer_lost)
        with relay:
            self.site.configure(None, removals=KEPT, **self.site.adapter.relayed(relay))
            victims.append(self.start())
            run = self.end(victims[0])
        self.site.configure(removals=KEPT)
        return run.code == -signal.SIGKILL

    def no_sync_harms_it(self) -> None:
        """What a sync finds of a rename that is under way, it leaves alone; the last message may still be at work."""
        under_way = ">" in (self.site.directory / "users.txt").read_text()
        run = self.site.run("--max-removals", "all")
        assert run.code == int(under_way), run.out + run.err
        assert not run.actions

    def is_done(self) -> None:
        """All rows are there under the new name, nothing is under the old one; the next one goes back."""
        site, old, new = self.site, self.old, self.new
        site.roster = {site.name("ann"): PASSWORD, new: PASSWORD}
        site.in_step()
        for template in TEMPLATES:
            assert site.adapter.get(new, PASSWORD, f"{new}_{template}") == [template]
        assert not any(name.startswith(old) for name in site.adapter.databases() | site.adapter.accounts())
        self.old, self.new = new, old


@pytest.mark.timeout(7200 if SOAK else 300)
def test_killed_after_any_message_no_row_is_lost(site: Site, figure: Figure) -> None:
    """A12: not even with a sync in between that may remove everything."""
    naming = Naming(site)
    messages, killed = naming.messages(), 0
    for moment in moments(messages):
        killed += naming.killed(moment, answer_lost=moment % 2 == 0)
        naming.no_sync_harms_it()
        if f"\n{naming.new}:" not in (site.directory / "users.txt").read_text():
            again = naming.end(naming.start())
            assert again.code == 0, again.out + again.err
        naming.is_done()
    assert killed >= len(moments(messages)) // 2
    figure(f"{site.adapter.server.engine}: rename killed {killed} times in {messages} messages")
