"""A run with everything in it, somebody who is killed in its middle, and what must be true afterwards."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from dbroster.model.state import ExistingDatabase, ExistingUser
from tests.e2e.site import OTHER_PASSWORD, PASSWORD, Run, Site
from tests.support import warm
from tests.support.proxy import Proxy

State = tuple[Mapping[str, ExistingUser], Mapping[str, ExistingDatabase]]
PATIENCE = 120  # seconds for one run


@dataclass
class Scene:
    """A site whose next run creates, changes, locks and removes users, and exchanges a template for another."""

    site: Site

    def before(self) -> None:
        """Bring the server into the state from which the run starts."""
        self.site.configure()
        self.site.templates("web", "data")
        self.site.users("same", "changed", "gone")
        self.site.sync("--max-removals", "all")

    def pending(self) -> None:
        """Write the files that the run is to follow."""
        self.site.templates("web", "more")
        self.site.users("same", "fresh", changed=OTHER_PASSWORD)

    def relay(self, moment: int | None, *, at_end: Callable[[], None] | None = None, **how: bool) -> Proxy:
        """A relay between script and server that counts messages, and is told in connections.yaml."""
        relay = self.site.adapter.relay(moment, at_end=at_end, **how)
        self.site.configure(None, **self.site.adapter.relayed(relay))
        return relay

    def start(self) -> warm.Process:
        """Start the script on the pending changes."""
        return warm.start([*self.site.program(), "--output", "json", "--max-removals", "all"])

    def finish(self, process: warm.Process) -> Run:
        """Wait for the end of a run."""
        out, err = process.communicate(timeout=PATIENCE)
        return Run(process.wait(), out, err)

    def run_killed(self, moment: int, *, answer_lost: bool) -> Run:
        """Run until so many messages are sent, the last of which reaches the server or is lost with the script."""
        victims: list[warm.Process] = []
        with self.relay(moment, at_end=lambda: victims[0].kill(), deliver_last=answer_lost):
            victims.append(self.start())
            return self.finish(victims[0])

    def messages(self) -> int:
        """How many messages the undisturbed run sends; leaves its end state."""
        self.before()
        self.pending()
        with self.relay(None) as proxy:
            run = self.finish(self.start())
        assert run.code == 0, run.out + run.err
        self.site.configure()
        return proxy.messages

    def log_in_again(self) -> None:
        """Give the DBA of the tests new connections, after the server was away."""
        adapter = self.site.adapter
        with suppress(Exception):
            adapter.close()
        self.site.adapter = type(adapter)(adapter.server)

    # --- what must be true --------------------------------------------------------------------------------------------

    def nobody_reaches_what_is_not_theirs(self) -> None:
        """Each user, by the old and the new password, can write into nothing but own databases."""
        adapter, site = self.site.adapter, self.site
        databases = sorted(name for name in adapter.databases() if name.startswith(site.prefix))
        for short in ("same", "changed", "gone", "fresh"):
            user = site.name(short)
            foreign = [name for name in databases if not name.startswith(f"{user}_")]
            for password in (PASSWORD, OTHER_PASSWORD):
                if adapter.can_login(user, password):
                    reached = [name for name in foreign if adapter.can_write(user, password, name)]
                    assert not reached, (user, reached)

    def state(self) -> State:
        """What a sync sees of this site, without the salted verifiers."""
        site = self.site
        with site.adapter.connect(site.adapter.connection(site.directory, site.prefix)) as handler:
            users, databases = handler.get_existing_users(), handler.get_existing_databases()
        ours = {name: user._replace(verifiers=()) for name, user in users.items() if name.startswith(site.prefix)}
        return ours, {name: database for name, database in databases.items() if name.startswith(site.prefix)}

    def converges_to(self, wanted: State) -> None:
        """One normal run, and everything is as if nobody had been killed."""
        self.site.configure()
        run = self.site.run("--max-removals", "all")
        assert run.code == 0, run.out + run.err
        assert self.state() == wanted
        self.site.everybody_is_at_home("web", "more")
        self.site.in_step()
