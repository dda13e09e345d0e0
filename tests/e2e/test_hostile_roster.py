"""users.txt as people and editors really leave it: everything that can be wrong, all at once."""

from collections.abc import Iterable

from tests.e2e.site import PASSWORD, Site

LONG = "aB3" + "x" * 197
SPECIAL = {
    "colon": "with:Colons:1:and#more",
    "quotes": """single'and"double"Quotes'1""",
    "backslash": "back\\slash\\'Quote1\\",
    "percent": "100%s%d%%Percent",
    "dollar": "$HOME`id`${X}Dollar1",
    "space": "inner Space and\tTab 1",
    "umlaut": "Grüße-aus-Köln-1",
    "emoji": "Rocket-\U0001f680-Science-1",
    "hash": "#starts-With-Hash-1",
    "long": LONG,
}


def hostile(site: Site) -> bytes:
    """Every kind of line; those of SPECIAL are fine."""
    lines = [b"# a comment: with a colon", b"", b"   \t ", b"  # an indented comment:x"]
    lines += [f"{site.name(user)}:{password}".encode() for user, password in SPECIAL.items()]
    lines.append(f"  {site.name('spaced')} :{PASSWORD}\r".encode())
    lines += [
        site.name("nocolon").encode(),
        f"{site.name('empty')}:".encode(),
        f":{PASSWORD}".encode(),
        f"{site.name('same')}:{PASSWORD}".encode(),
        f"{site.name('same')}:{PASSWORD}".encode(),
        f"{site.name('twice')}:{PASSWORD}".encode(),
        f"{site.name('twice')}:{PASSWORD}2".encode(),
        site.name("n" * 200).encode() + b":" + PASSWORD.encode(),
        site.name("latin").encode() + b":Gr\xfc\xdfe-aus-1234",
        b"root:" + PASSWORD.encode(),
        b"postgres:" + PASSWORD.encode(),
        f"{site.adapter.server.admin_user}:{PASSWORD}".encode(),
        f"{site.name('weak')}:password".encode(),
        f"{site.name('trailing')}:{PASSWORD} ".encode(),
        b"bad name!:" + PASSWORD.encode(),
    ]
    return b"\xef\xbb\xbf" + b"\n".join(lines)


def test_everything_at_once(site: Site) -> None:
    site.templates("web")
    gone, kept = site.users("gone", "twice")
    site.sync()
    admin = site.adapter.server.admin_user
    data = hostile(site)
    site.users_file(data)

    planned = site.run("--dry-run")
    run = site.run()
    assert (planned.code, run.code) == (1, 1)
    assert planned.actions == run.actions
    assert run.statuses() == {"done"}
    assert not any(action.startswith(("drop", "lock", "update")) for action, _, _ in run.actions)

    carried = {user: password for user, password in SPECIAL.items() if site.adapter.carries(password)}
    good = {site.name(user): password for user, password in carried.items()}
    good |= {site.name("spaced"): PASSWORD, site.name("same"): PASSWORD}
    assert {user for action, user, _ in run.actions if action == "create_user"} == set(good)
    for user, password in good.items():
        assert site.adapter.can_write(user, password, f"{user}_web"), user
    assert site.adapter.can_write(gone, PASSWORD, f"{gone}_web"), "removals are suspended"
    assert site.adapter.can_write(kept, PASSWORD, f"{kept}_web"), "a mentioned user stays as it is"
    assert site.adapter.can_login(admin, site.adapter.server.admin_password), "the admin is untouched"

    numbered = data.decode("latin-1").split("\n")
    wrong = {problem["line"] for problem in run.result["problems"] if problem["line"] and not problem["warning"]}
    first_wrong = next(i for i, line in enumerate(numbered, 1) if line == site.name("nocolon"))
    same = {i for i, line in enumerate(numbered, 1) if line.startswith(site.name("same"))}
    first_twice = min(i for i, line in enumerate(numbered, 1) if line.startswith(site.name("twice")))
    not_carried = {i for i, line in enumerate(numbered, 1) if line.startswith(_starts(site, SPECIAL.keys() - carried))}
    assert wrong == set(range(first_wrong, len(numbered) + 1)) - same - {first_twice} | not_carried
    for text in (planned.out, planned.err, run.out, run.err):
        for password in good.values():
            assert password not in text

    again = site.run()
    assert (again.code, again.actions) == (1, set())


def _starts(site: Site, users: Iterable[str]) -> tuple[str, ...]:
    """How the lines of these users begin."""
    return tuple(f"{site.name(user)}:" for user in users)
