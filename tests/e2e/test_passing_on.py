"""Metrics, the program that is told, and Markdown, with real servers of all engines."""

import json

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import on_one_product
from tests.e2e.site import OTHER_PASSWORD, PASSWORD, Site


@on_one_product
def test_a_change_is_told_to_the_program_to_prometheus_and_to_a_merge_request(site: Site) -> None:
    path = site.directory / "connections.yaml"
    path.write_text(f"notify_command: [sh, -c, 'cat > told.json; env > told.env']\n{path.read_text()}")
    site.users("ann")
    metrics, told = site.directory / "dbroster.prom", site.directory / "told.json"
    planned = site.run("--dry-run", output="markdown").out
    assert f"| new | <code>{site.name('ann')}</code> | <code>new: 2 databases</code> |" in planned
    assert not told.exists()

    run = site.sync("--metrics", str(metrics))
    assert run.err == ""
    assert json.loads(told.read_text()) == run.document
    for text in (told.read_text(), metrics.read_text(), planned):
        assert PASSWORD not in text
    done = {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(metrics.read_text())
        for sample in family.samples
        if sample.name == "dbroster_actions"
    }
    assert done == {"done": 5, "failed": 0, "skipped": 0, "not_attempted": 0, "refused": 0}
    told.unlink()
    site.sync("--metrics", str(metrics))
    assert not told.exists()


def test_a_dry_run_and_the_run_have_the_same_line_for_each_user(site: Site) -> None:
    def told(*options: str) -> list[str]:
        out = site.run("--quiet", *options, output="text").out
        return out.splitlines()[1:]

    ann, bob, cyd = site.users("ann", "bob", "cyd")
    assert told("--dry-run") == told() == [f"  + {name}  new: 2 databases" for name in (ann, bob, cyd)]
    site.users("cyd", ann=OTHER_PASSWORD, dan="Third-robot-9-paper")
    assert (
        told("--dry-run")
        == told()
        == [
            f"  - {bob}  removed: 2 databases dropped (tools, web)",
            f"  + {site.name('dan')}  new: 2 databases",
            f"  ~ {ann}  password changed",
        ]
    )
    site.templates("web")
    dropped = [f"  - {name}  1 database dropped (tools), its template is no longer listed" for name in site.roster]
    refused = told("--dry-run")
    assert refused[:3] == [f"{line} (refused)" for line in sorted(dropped)]
    assert told("--max-removals", "all") == sorted(dropped)
    assert told() == []
