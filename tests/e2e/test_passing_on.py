"""Metrics, the program that is told, and Markdown, with real servers of all engines."""

import json

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.site import PASSWORD, Site


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
