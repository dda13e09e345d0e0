"""Keys of connections.yaml that every section has, and those beside the sections."""

from typing import Any

from dbroster.model.connection import CONNECT_TIMEOUT, TIMEOUT, Removals
from dbroster.passwords.policy import PasswordRules
from dbroster.settings.keys import Choice, Flag, Key, Label, Needed, Number, Part, Text, Texts, Unread
from dbroster.settings.section import ConfigSection

MOST_SERVERS = 100  # of one engine: each has a thread of its own
_REMOVALS, _RULES = Removals(), PasswordRules()


class _Count(Key[int | None]):
    """A number, or `all` for no limit."""

    def __set_name__(self, owner: Any, name: str) -> None:
        super().__set_name__(owner, name)
        self._number = Number(0, 0, 1_000_000, "")
        self._number.name = name

    def read(self, section: ConfigSection) -> int | None:
        return None if section.value(self.name) == "all" else self._number.read(section)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [*self._number.schema()["anyOf"], {"const": "all"}]}


class TopKeys(Part):
    """What stands beside the sections of the engines."""

    protected = Texts((), "names that are never touched on any server, beside those that its section lists")
    roster = Label(
        "default",
        "name of this roster, part of every marker; up to 32 letters, digits, `_` and `-`. Two teams on one server "
        "need two names, and then never touch each other's accounts. **Changing it makes all accounts foreign.**",
    )
    notify_command = Texts(
        (),
        "program and arguments that get the JSON report to read when a run has changed something, failed or was "
        "refused ([operations.md](operations.md#be-told))",
        shown="",
    )
    users_command = Texts(
        (), "program and arguments whose output is the roster, instead of users.txt ([above](#users_command))", shown=""
    )


class TlsKeys(Part):
    """What `tls` may say."""

    mode = Choice("verify-full", ("disable", "require", "verify-ca", "verify-full"), "see below")
    ca = Text("", "file with the authority's certificate")
    cert = Text("", "the admin's client certificate")
    key = Text("", "its private key")


class PolicyKeys(Part):
    """What `password_policy` may say."""

    min_length = Number(_RULES.min_length, 1, 1024, "characters, 1 to 1024")
    classes = Number(_RULES.classes, 0, 4, "how many of lower case, upper case, digits and others must occur, 0 to 4")
    forbid_user_name = Flag(
        _RULES.forbid_user_name,
        "the name must not occur in it, whatever its case (names of up to three letters: must not be the whole "
        "password)",
    )
    forbidden = Texts(_RULES.forbidden, "words that must not occur in it, whatever their case")


class RemovalKeys(Part):
    """What `removals` may say."""

    max = _Count(_REMOVALS.max, "so many accounts, or databases of users who stay, may go in one run; `all`: no limit")
    max_percent = Number(
        _REMOVALS.max_percent,
        0,
        100,
        "or so many percent of the managed ones, 0 to 100, rounded down; the larger of the two counts",
    )
    max_per_day = _Count(
        _REMOVALS.max_per_day,
        "so many in 24 hours, by the audit log; `all`: no limit",
        shown=f"{_REMOVALS.max_per_day}, or `max` if that is more",
    )
    max_percent_per_day = Number(
        _REMOVALS.max_percent_per_day,
        0,
        100,
        "or so many percent",
        shown=f"{_REMOVALS.max_percent_per_day}, or `max_percent` if that is more",
    )
    archive_dir = Unread(
        "archive each database before it is dropped, below this directory (relative to the config directory). It is "
        "made with mode 0700; one that others may enter is refused. Its admin and this machine need a little more "
        "then: see [engines.md](engines.md)",
        {"anyOf": [{"type": "string", "minLength": 1}, {"const": False}]},
        shown="none",
    )
    grace_days = Number(
        _REMOVALS.grace_days,
        0,
        3650,
        "a removed user is locked out at once; account and databases go in the first run after so many full days, 0 to "
        "3650; 0: at once",
    )


class HandoutKeys(Part):
    """What `handout` may say."""

    host = Text("", "name or address by which users reach the server", shown="`host`")
    port = Number(0, 1, 65535, "its port there", shown="`port`")
    ca = Text(
        "",
        "where users have the authority's certificate, on their machines; without `tls`, it stands for "
        "`tls.mode: verify-full`",
        shown="`tls.ca`",
    )


class ServerKeys(Part):
    """What a section may say of its server, whatever the engine."""

    name = Label(
        "default",
        f"what reports, `--server` and the lock file call this server; each server of a list (up to {MOST_SERVERS}) "
        "needs one. Same characters as `roster`",
    )
    host = Needed(
        "name or address; a path that begins with `/` is a socket (PostgreSQL: its directory, MySQL: the socket file)",
        shown="must be set{instead}",
    )
    port = Number(0, 1, 65535, "1 to 65535; by default {ports}", shown="the engine's")
    username = Needed("the admin account that dbroster uses; it can never stand in the roster")
    password = Text("", "the admin's password, or `${NAME}`")
    password_file = Text(
        "",
        "a file with nothing but the password; the line end at its end is dropped; same modes as users.txt",
    )
    password_env = Text("", "name of the environment variable that holds it")
    connect_timeout = Number(
        CONNECT_TIMEOUT,
        1,
        600,
        "seconds until a login is over, name lookup, TLS and the server's greeting included; 1 to 600",
    )
    timeout = Number(
        TIMEOUT,
        1,
        86_400,
        "seconds that one statement may take, or one helper program (`pg_dump`, `mysqldump`) may be silent; 1 to "
        "86400. A server that takes longer ends the run, and the next one goes on ([but for single "
        "databases](safety.md#11-every-run-ends))",
    )
    jobs = Number(
        0,
        1,
        64,
        "parallel sessions that make changes, 1 to 64; MySQL: 8 when a round trip takes more than 3 ms",
        shown="4, MariaDB 2, MongoDB 8",
    )
    protected = Texts(
        (),
        "names of accounts and databases that are never touched. A user who stands in users.txt as well, or would have "
        "such a database, is a problem; an account whose database is listed is locked, not dropped, when its line goes",
    )


PARTS: dict[str, type[Part]] = {
    "tls": TlsKeys,
    "handout": HandoutKeys,
    "password_policy": PolicyKeys,
    "removals": RemovalKeys,
}
"""Mappings inside a section; those of `COMMON_PARTS` may also stand beside the sections."""
COMMON_PARTS = ("tls", "password_policy", "removals")
