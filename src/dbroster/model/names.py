"""Names: what a user or template may be called, and databases that two users would share."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
NAME_RULE = "letters, digits, and . _ - after the first one"

SYSTEM_ACCOUNTS = frozenset({
    "root", "mysql", "mysql.sys", "mysql.session", "mysql.infoschema", "mariadb", "mariadb.sys", "debian-sys-maint",
    "event_scheduler", "postgres", "public", "none", "default", "rdsadmin", "cloudsqladmin", "azuresu",
})  # fmt: skip
"""One roster drives all engines, so a name that is a system account on any of them is refused on all."""

SYSTEM_PREFIXES = ("pg_", "mysql.", "mariadb.", "rds_", "cloudsql")


def is_name(text: str) -> bool:
    """Whether a user or a template may be called so."""
    return NAME.fullmatch(text) is not None


def tag31(text: str) -> int:
    """Return a number between 2^30 and 2^31 that nobody types: what a marker is where a server takes numbers only."""
    return 2**30 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % 2**30


def system_account(name: str) -> bool:
    """Whether the name belongs to an account that comes with a server, on any engine."""
    folded = name.casefold()
    return folded in SYSTEM_ACCOUNTS or folded.startswith(SYSTEM_PREFIXES)


def shared_databases(databases: Mapping[str, Sequence[str]], fold: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """Find users whose composed database names meet (`a` + `b_c`, `a_b` + `c`): user -> (other user, database)."""
    claims: defaultdict[str, list[str]] = defaultdict(list)
    for user, names in databases.items():
        for name in names:
            claims[fold(name)].append(user)
    shared: dict[str, tuple[str, str]] = {}
    for name, users in claims.items():
        if len(users) > 1:
            for user in users:
                shared.setdefault(user, (next((u for u in users if u != user), user), name))
    return shared


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest known word, or nothing."""
    from difflib import get_close_matches  # most runs have no mistake to guess at

    near = get_close_matches(word, list(known), n=1) if len(word) <= 64 else []
    return f"; did you mean {near[0]!r}?" if near else ""
