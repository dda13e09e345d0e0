"""Everything happens once, with every log of the server turned up; then every place is searched for every secret."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest

from dbroster.cli.main import main
from dbroster.errors import DbrosterError
from dbroster.passwords.secret import Secret
from tests.e2e.site import Site
from tests.secrecy.conftest import Loud
from tests.secrecy.forms import leaks
from tests.secrecy.watched import Recorder, Watched

MANY = 205  # passwords, enough for slow checks to be done in processes of their own
SLOW = "mysql"


def password(number: int) -> str:
    """A new password whose first characters survive every quoting, and whose last ones don't."""
    return f"Zq7{token_hex(6)}{number}" + "-'\"\\%:#@/$`ä"


def test_no_secret_gets_anywhere(loud: Loud, site: Site, tmp_path: Path) -> None:
    secrets = {"the admin's password": site.adapter.server.admin_password}
    watched = Watched(site, tmp_path / "tmp")

    def users(*shorts: str, **given: str) -> None:
        passwords = {short: password(number) for number, short in enumerate(shorts)} | given
        site.users(**passwords)
        secrets.update((f"password {len(secrets)}", text) for text in passwords.values())

    crowd = [f"many{number}" for number in range(MANY if site.adapter.server.engine == SLOW else 10)]
    site.templates()
    users(*crowd)
    assert watched.run("--verbose").code == 0
    assert watched.run("--verbose").code == 0
    site.templates("web")
    same = password(0)
    site.adapter.create_account_by_hand(site.name("foe"), "by-Hand-1234567")
    users("ann", "bob", "cyd", "foe", same=same)
    site.write("users.txt", (site.directory / "users.txt").read_text() + f"weak:{same[:6]}\nno colon {same}\n")
    assert watched.run("--verbose", "--output", "json", "--max-removals", "all").code == 1  # a conflict, bad lines
    users("ann", "bob", "foe", same=same)
    assert watched.run_with_a_defect("--verbose", "--max-removals", "all").code == 2
    assert watched.run_with_a_defect("--output", "json", "--max-removals", "all").code == 2
    assert "a defect in dbroster" in watched.runs[-1].out
    assert watched.run("--verbose", "--max-removals", "all", "--adopt", site.name("foe")).code == 0
    for output in ("text", "env", "json", "html"):
        assert watched.run_verb("handout", site.name("ann"), "--output", output).code == 0
    _handed_out(watched, site, tmp_path / "handout")
    site.configure(removals={"archive_dir": "archives"})
    assert watched.run_verb("rename", site.name("bob"), site.name("rob"), "--dry-run").code == 0
    assert watched.run_verb("rename", site.name("bob"), site.name("rob"), "--verbose").code == 0
    site.configure(password=(wrong := password(1)))
    secrets["a wrong password of the admin"] = wrong
    assert watched.run("--verbose").code == 2

    verifiers = _verifiers(site)
    site.configure()
    said, server = watched.said(), loud.said()
    assert site.name("ann").encode() in b"".join(server.values()), "the server is silent, so it proves nothing"
    assert watched.seen
    assert leaks(secrets, {**said, **server, **watched.showed()}) == []
    assert [place for place, data in said.items() for each in verifiers if each.encode() in data] == []


def _handed_out(watched: Watched, site: Site, directory: Path) -> None:
    """Write handouts: in the files are passwords, for nobody else, or none if they are not wanted."""
    directory.mkdir()
    ann, told = site.name("ann"), directory / "ann"
    assert watched.run_verb("handout", ann, "--to", str(told)).code == 0
    assert site.roster[ann] in told.read_text()
    assert watched.run_verb("handout", ann, "--to", str(directory), "--without-password").code == 0
    written = {path.name: path.read_bytes() for path in directory.iterdir() if path != told}
    assert written
    assert leaks({"the password": site.roster[ann]}, written) == []
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def _verifiers(site: Site) -> list[str]:
    site.configure()
    with site.adapter.connect(site.adapter.connection(site.directory, site.prefix)) as handler:
        return site.adapter.verifiers(handler)


def test_nobody_who_is_told_of_a_run_learns_a_password(loud: Loud, site: Site, tmp_path: Path) -> None:
    """A merge request, Prometheus and notify_command: of what is new, changed, wrong, refused and defect."""
    watched = Watched(site, tmp_path / "tmp")
    connections = site.directory / "connections.yaml"
    listener = "[sh, -c, 'cat >> told.json; env >> told.env; cat /proc/$$/cmdline >> told.arguments']"
    connections.write_text(f"notify_command: {listener}\n{connections.read_text()}")
    first, second, third = password(1), password(2), password(3)
    options = ("--output", "markdown", "--metrics", str(site.directory / "dbroster.prom"))
    site.users(ann=first, bob=second)
    assert watched.run(*options).code == 0
    site.users(ann=third)
    site.write("users.txt", (site.directory / "users.txt").read_text() + f"weak:{first[:6]}\nno colon {second}\n")
    assert watched.run(*options, "--verbose").code == 1
    site.users()
    assert watched.run(*options).code == 3
    site.users(ann=second)
    assert watched.run_with_a_defect(*options, "--max-removals", "all").code == 2
    told = (site.directory / "told.json").read_text()
    assert [f'"exit_code": {code}' in told for code in (0, 1, 2, 3)] == [True] * 4
    secrets = {"1": first, "2": second, "3": third, "the admin's password": site.adapter.server.admin_password}
    assert leaks(secrets, {**watched.said(), **loud.said(), **watched.showed()}) == []


def test_changes_of_the_roster_show_no_password(loud: Loud, site: Site, tmp_path: Path) -> None:
    """Neither those that are made nor those that are given: on standard input, or in a file; nor when they are bad."""
    watched = Watched(site, tmp_path / "tmp")
    typed, listed, weak = password(1), password(2), f"Wk{token_hex(4)}"
    ann, bob, cyd = site.users("ann", bob=typed, cyd=listed)
    site.users("ann")
    quoted = listed.replace('"', '""')
    site.write("names.csv", f'{cyd},"{quoted}"\n')
    names = str(site.directory / "names.csv")
    assert watched.run_verb("add", bob, "--password-stdin", "--sync", stdin=f"{typed}\n").code == 0
    assert watched.run_verb("add", "--from", names, "--connect").code == 0
    assert watched.run_verb("add", "--from", names).code == 2
    assert watched.run_verb("passwd", bob, "--password-stdin", stdin=f"{weak}\n").code == 2
    assert watched.run_verb("passwd", bob, "--password-stdin", stdin=f"{typed}\n{typed}\n").code == 2
    assert watched.run_verb("add", site.name("x"), "--password-stdin", stdin=f"{typed}\v\n").code == 2
    assert watched.run_verb("add", typed, listed).code == 2
    assert watched.run_verb("passwd", ann, "--sync").code == 0
    lines = (site.directory / "users.txt").read_text().splitlines()
    made = next(line for line in lines if line.startswith(ann)).partition(":")[2]
    assert watched.run_verb("remove", ann, bob).code == 0
    assert lines == [f"{ann}:{made}", f"{bob}:{typed}", f"{cyd}:{listed}"]
    (site.directory / "names.csv").unlink()
    secrets = {"typed": typed, "listed": listed, "weak": weak, "made": made}
    assert leaks(secrets, {**watched.said(), **loud.said()}) == []
    typed_as_names = [text for text in watched.seen if b"\0add\0" in text and typed.encode() in text]
    assert typed_as_names, "the process list was not seen"
    rest = {place: text for place, text in watched.showed().items() if text not in typed_as_names}
    assert leaks(secrets, rest) == []


def test_an_import_shows_no_password(loud: Loud, site: Site, tmp_path: Path) -> None:
    """Neither the new ones, which stand in one of its files only, nor the admin's."""
    watched, to, engine = Watched(site, tmp_path / "tmp"), site.directory / "to", site.adapter.engine
    for name in (site.name("ann"), site.name("bob")):
        site.adapter.create_account_by_hand(name, "by-Hand-1234567")
        site.adapter.hand_over_by_hand(name, f"{name}_web")
    told = watched.run_verb("import", engine, "--to", str(to))
    if not site.adapter.adopts_databases():
        assert (told.code, to.exists()) == (1, False)
        return
    assert told.code == 0
    lines = [line for line in (to / "users.txt").read_text().splitlines() if not line.startswith("#")]
    secrets = {"the admin's": site.adapter.server.admin_password, **dict(line.split(":", 1) for line in lines)}
    assert len(secrets) == 3
    adopting = ("--config", str(to), "--adopt-from", str(to / "adopt.txt"))
    assert watched.run_verb("plan", engine, *adopting, "--verbose", "--output", "json").code == 0
    assert watched.run_verb("sync", engine, *adopting, "--verbose").code == 0
    assert "taken over" in watched.runs[-1].out
    assert leaks(secrets, {**watched.said(), **loud.said(), **watched.showed()}) == []


def test_a_status_shows_no_password(loud: Loud, site: Site, tmp_path: Path) -> None:
    watched = Watched(site, tmp_path / "tmp")
    old, new = password(1), password(2)
    site.users("ann", bob=old)
    site.sync()
    site.users("ann", bob=new)
    site.write("users.txt", (site.directory / "users.txt").read_text() + f"weak:{new[:6]}\nno colon {new}\n")
    for output in ("text", "json", "csv", "html"):
        assert watched.run_verb("status", "--output", output, "--sizes", "--verbose").code == 1
        assert site.name("bob") in watched.runs[-1].out
    verifiers = {f"verifier {number}": text for number, text in enumerate(_verifiers(site))}
    secrets = {"old": old, "new": new, "the admin's": site.adapter.server.admin_password}
    assert leaks(secrets, {**watched.said(), **loud.said(), **watched.showed()}) == []
    said = watched.said()
    assert [place for place, data in said.items() for each in verifiers.values() if each.encode() in data] == []


def test_the_admin_s_password_is_shown_to_nobody_who_did_not_ask(loud: Loud, site: Site, tmp_path: Path) -> None:
    """Not by `grants`, before and after a login, nor by `check`; what `init` makes stands in its files only."""
    watched, server = Watched(site, tmp_path / "tmp"), site.adapter.server
    secrets = {"the admin's": server.admin_password, "a wrong one": (wrong := password(1))}
    site.users("ann")
    assert watched.run_verb("grants").code == 0
    assert watched.run_verb("check", "--connect").code == 0
    site.configure(username=site.name("nobody"), password=wrong)
    assert watched.run_verb("grants").code == 0
    assert watched.run_verb("check", "--files-only").code == 0
    assert watched.run_verb("check", "--connect").code == 2
    new = tmp_path / "new"
    assert main(["init", str(new), "--engine", server.engine]) == 0
    secrets["made by init"] = (new / f"{site.adapter.engine}.password").read_text().strip()
    others = {path.name: path.read_bytes() for path in new.iterdir() if path.suffix != ".password"}
    assert leaks(secrets, {**watched.said(), **watched.showed(), **loud.said(), **others}) == []
    site.configure()
    asked = watched.run_verb("grants", "--show").out.encode()
    assert leaks({"the admin's": server.admin_password}, {"asked": asked}), "the search finds nothing"


def test_no_password_travels_where_verifiers_do(site: Site) -> None:
    """Without TLS everything can be read on the way. MongoDB gets passwords as they are, ClickHouse at each login."""
    server = site.adapter.server
    if server.engine in ("mongodb", "clickhouse"):
        pytest.skip("this engine is sent passwords, so that it has to be reached by TLS")
    first, second = password(1), password(2)
    with Recorder(server.host, server.port) as recorder:
        site.configure(host="127.0.0.1", port=recorder.port, tls={"mode": "disable"})
        for text in (first, second, second):
            site.users(ann=text)
            site.sync()
        heard = bytes(recorder.heard)
    assert site.name("ann").encode() in heard, "nothing was recorded, so it proves nothing"
    secrets = {"the first": first, "the second": second, "the admin's": server.admin_password}
    assert leaks(secrets, {"the way to the server": heard}) == []


# --- exceptions -------------------------------------------------------------------------------------------------------


def test_no_exception_carries_a_password(site: Site, loud: Loud) -> None:
    secret, other = password(1), password(2)
    eve, ann = site.name("eve"), site.name("ann")
    site.adapter.create_account_by_hand(eve, "by-Hand-1234567")
    connection = site.adapter.connection(site.directory, site.prefix)
    caught: list[BaseException] = []

    def provoke(work: Callable[[], object]) -> None:
        with suppress(DbrosterError):
            try:
                work()
            except DbrosterError as error:
                caught.append(error)
                raise

    with site.adapter.connect(connection) as handler:
        handler.prepare()
        handler.create_user(ann, Secret(other))
        for method in (handler.create_user, handler.update_user_password):
            provoke(lambda method=method: method(eve, Secret(secret)))  # type: ignore[misc]
        provoke(lambda: handler.update_user_password(site.name("nobody"), Secret(secret)))
        provoke(lambda: handler.adopt_user(handler.connection.username, Secret(secret)))
        provoke(lambda: handler.create_user("x" * 2000, Secret(secret)))
    for moment in range(1, 12):
        with site.adapter.doomed(None) as doomed, doomed.connect(connection) as dying:
            doomed.arm(moment)
            provoke(lambda dying=dying: dying.update_user_password(ann, Secret(secret)))  # type: ignore[misc]
    assert len(caught) >= 5
    told = {f"exception {number}": text.encode() for number, error in enumerate(caught) for text in _everything(error)}
    admin = site.adapter.server.admin_password
    assert leaks({"a password": secret, "another": other, "the admin's": admin}, told) == []


def _everything(error: BaseException | None, depth: int = 0) -> Iterator[str]:
    """All that a logger or a crash reporter could print of an exception, and of those behind it."""
    if error is None or depth > 8:
        return
    yield repr((error, error.args, str(error), vars(error), getattr(error, "__notes__", None)))
    for name in ("details", "diag", "strerror", "reason", "errors"):
        yield repr(getattr(error, name, None))
    yield from _everything(error.__cause__, depth + 1)
    yield from _everything(error.__context__, depth + 1)


def test_the_exceptions_are_searched() -> None:
    with pytest.raises(RuntimeError) as caught:
        _hide_one_behind_another()
    assert "inner" in "".join(_everything(caught.value))


def _hide_one_behind_another() -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        raise RuntimeError("outer") from None
