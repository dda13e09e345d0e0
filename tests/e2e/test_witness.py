"""The server's own log as the witness: what dbroster sent, and what it did not."""

import os

from tests.e2e.conftest import on_one_product
from tests.e2e.site import Site

MANY = 1000 if os.environ.get("DBROSTER_SOAK") else 250  # both enough for what is done in batches and in processes


def test_a_second_run_sends_no_change(site: Site) -> None:
    site.users("ann", "bob")
    with site.adapter.changes() as changes:
        site.sync()
    assert changes, "the witness sees changes"
    with site.adapter.changes() as changes:
        site.sync()
    assert changes == []


def test_a_dry_run_sends_no_change(site: Site) -> None:
    site.users("ann", "bob")
    with site.adapter.changes() as changes:
        site.pending()
    assert changes == []


def test_many_users_are_read_with_the_messages_of_ten(site: Site) -> None:
    """The whole script, login included, counted by a relay between it and the server."""
    site.templates()
    counts = []
    for number in (10, MANY):
        site.users(*(f"u{index}" for index in range(number)))
        site.sync()
        with site.adapter.relay() as relay:
            site.configure(None, **site.adapter.relayed(relay))
            site.in_step()
            counts.append(relay.messages - number * site.adapter.messages_per_check)
        site.configure()
    assert abs(counts[0] - counts[1]) <= 3, f"{counts}: the network may cut a message in two, no more than that"


def test_no_password_in_any_log_or_output(site: Site) -> None:
    """Everything happens: create, change, conflict, failure, removal; with every statement logged."""
    bob = site.name("bob")
    site.adapter.create_database_by_hand(f"{site.name('foe')}_web")
    first = {name: f"Sesame-{name}-One'1" for name in ("ann", "bob", "cyd", "foe")}
    second = first | {"ann": 'Sesame-"ann"-Two\\2', "bob": "Sesame-bob-Two%2"}
    site.users(**first)
    runs = [site.run("--verbose"), site.run("--verbose", output="text")]
    site.users(**second)
    runs.append(site.run("--verbose"))
    second.pop("cyd")
    site.users(**second)
    runs += [site.run("--verbose", output="text"), site.run("--adopt", site.name("foe"))]
    assert [run.code for run in runs] == [1, 1, 1, 1, 0]
    assert site.adapter.can_login(bob, second["bob"])
    secrets = {*first.values(), *second.values()}
    texts = {"server log": site.adapter.log_text(), "audit": repr(site.audit())}
    texts |= {f"output {number}": run.out + run.err for number, run in enumerate(runs)}
    for place, text in texts.items():
        for secret in secrets:
            for form in (secret, secret.replace("'", "''"), secret.replace("\\", "\\\\").replace("'", "\\'")):
                assert form not in text, place


@on_one_product
def test_the_audit_log_tells_every_change_before_and_after(site: Site) -> None:
    site.users("ann")
    run = site.sync()
    lines = site.audit()
    for status in ("started", "done"):
        told = {(line["action"], line["user"], line["database"]) for line in lines[1:-1] if line["status"] == status}
        assert told == run.actions
    assert [lines[0]["action"], lines[-1]["action"]] == ["run", "run"]
    assert {line["run"] for line in lines} == {lines[0]["run"]}
    assert (site.directory / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    size = len(lines)
    site.in_step()
    assert len(site.audit()) == size
