"""What a run that changes nothing costs besides the server's work: imports and round trips."""

import subprocess
import sys
from importlib.util import find_spec

from benchmarks.delay import Delay
from tests.e2e.site import ROOT, Site

# the login over TLS and the end included, without logins that check passwords; for each connection one more where a
# client is slow to speak after the handshake: the server's session tickets come in between then
CONNECTIONS = {"PostgreSQL": 1, "MySQL": 1, "MariaDB": 1, "MongoDB": 4, "ClickHouse": 2}
ROUND_TRIPS = {"PostgreSQL": 14, "MySQL": 18, "MariaDB": 17, "MongoDB": 17, "ClickHouse": 18}
# ClickHouse's lock is a query, and the sync looks until the server has begun with it: on a busy machine more often
LOOK, LOOKS = b"startsWith(query_id", 2
TRIES = 3  # a busy machine only adds to it: a driver looks at its server now and then
SELDOM = (
    "archive",
    "audit.hash_chain",
    "audit.log",
    "audit.verification",
    "cli.verbs.servers.audit",
    "cli.verbs.roster.edit",
    "cli.verbs.roster.encrypt",
    "cli.verbs.servers.restore",
    "files.write",
    "report.plain.table",
    "roster.age",
    "roster.command",
    "roster.editing.edit",
    "roster.editing.encrypt",
    "roster.editing.scratch",
    "run.apply",
    "run.restore",
)


def test_a_run_without_changes_takes_few_round_trips(site: Site) -> None:
    site.users("ann", "bob")
    site.sync()
    product = site.sync().result["product"].split()[0]
    most = ROUND_TRIPS[product] + CONNECTIONS[product]
    taken = [most + 1]
    while taken[-1] > most and len(taken) <= TRIES:
        with Delay(site.adapter.server, LOOK) as relay:
            site.configure(port=relay.port)
            site.sync()
        assert (relay.looks > 0) == (product == "ClickHouse")
        taken.append(relay.round_trips - 2 * site.adapter.messages_per_check - max(0, relay.looks - LOOKS))
    assert taken[-1] <= most, taken


def test_what_a_run_seldom_needs_is_not_imported(site: Site) -> None:
    site.users("ann")
    site.sync()
    script = ROOT / "scripts" / f"{site.adapter.engine}_sync.py"
    command = [sys.executable, "-X", "importtime", str(script), "--config", str(site.directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert f"dbroster.engines.{site.adapter.engine}.session" in imported
    assert all(find_spec(f"dbroster.{name}") for name in SELDOM)
    assert not imported & {f"dbroster.{name}" for name in SELDOM}
    assert not {name for name in imported if name.startswith("cryptography.hazmat.primitives")}
    assert not {name for name in imported if "archive" in name.split(".")}
