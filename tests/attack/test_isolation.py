"""One user of the roster tries everything against everybody else."""

from pathlib import Path

from tests.attack.attempts import ATTEMPTS, HARMLESS
from tests.e2e.site import PASSWORD, Site

ROW = "nobody else may read this"


def test_a_user_of_the_roster_gets_at_nothing_of_others(site: Site, tmp_path: Path) -> None:
    adapter, server = site.adapter, site.adapter.server
    site.templates("web")
    al, me = site.users("al", "mallory")
    site.sync()
    adapter.put(al, PASSWORD, f"{al}_web", ROW)
    adapter.put(me, PASSWORD, f"{me}_web", "mine")
    outside = Path("/tmp") / f"{site.prefix}-outside"
    names = {
        "me": me,
        "mine": f"{me}_web",
        "al": al,
        "his": f"{al}_web",
        "admin": server.admin_user,
        "roster": site.prefix,
        "outside": outside,
        "host": server.host,
        "port": server.port,
        "own_password": "PASSWORD('Changed-by-me-123')" if server.engine == "mariadb" else "'Changed-by-me-123'",
    }
    before = (adapter.fingerprint(al), adapter.accounts(), adapter.databases())
    succeeded = set()
    password = PASSWORD
    for name, statement in ATTEMPTS[server.engine].items():
        done = server.client(me, password, f"{me}_web", statement.format(**names))
        assert ROW not in done.stdout + done.stderr, name
        if done.returncode == 0:
            succeeded.add(name)
            password = "Changed-by-me-123" if name == "own password" else password
    assert succeeded == HARMLESS[server.engine]
    assert (adapter.fingerprint(al), adapter.accounts(), adapter.databases()) == before
    assert adapter.can_login(server.admin_user, server.admin_password)
    assert not outside.exists()
    run = site.sync("--max-removals", "all")
    assert {user for _, user, _ in run.actions} <= {me}
    site.in_step()
    site.everybody_is_at_home("web")
    assert ROW in adapter.get(al, PASSWORD, f"{al}_web")
    assert adapter.fingerprint(al) == before[0]
