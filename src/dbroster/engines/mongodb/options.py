"""Keys of connections.yaml that only MongoDB has."""

import re
from typing import Any

from dbroster.model.connection import EngineOptions
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.saslprep import saslprep_offender
from dbroster.settings.keys import Flag, KnownTexts, Text, TextOrOff
from dbroster.settings.section import ConfigSection

SRV = "mongodb+srv://"
"""A URI that asks the name service for hosts; the driver uses TLS then, unless told otherwise."""

DATABASE_BYTES = 63
"""Longer names are refused by the server (manual, "MongoDB Limits and Thresholds")."""

USER_BYTES = DATABASE_BYTES - 2
"""The server takes longer names, but their databases, with `_` and at least one letter more, would be too long."""

_NEVER = {
    "tls": "set the key `tls`",
    "ssl": "set the key `tls`",
    "directConnection": "changes have to find the primary",
    "loadBalanced": "changes have to find the primary",
    "readPreference": "what is read from a secondary may be old",
    "authMechanism": "it follows from `password` and `tls.cert`",
}


class _Uri(Text):
    """A connection string with nothing but hosts and what has no key of its own."""

    def read(self, section: ConfigSection) -> str:
        uri = super().read(section)
        if not uri:
            if section.value(self.name) is not None:
                section.problem(self.name, "must not be empty")
            return ""
        if not uri.startswith(("mongodb://", SRV)) or not all(_hosts(uri)):
            section.problem(self.name, "expected mongodb://HOST:PORT,.../?replicaSet=NAME")
        elif "@" in uri:  # it would be shown wherever options are
            section.problem(self.name, "must not contain a login: put that into `username` and `password`")
        elif found := next((o for o in _NEVER if re.search(rf"[?&]{o}\w*=", uri, re.IGNORECASE)), None):
            section.problem(self.name, f"must not contain {found}: {_NEVER[found]}")
        else:
            return uri
        return ""

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^mongodb(\+srv)?://[^@]+$|\$\{\w+\}"}


def _hosts(uri: str) -> list[str]:
    """Return the hosts of a connection string, without their ports."""
    hosts = uri.partition("://")[2].partition("/")[0].partition("?")[0].split(",")
    return [host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0] for host in hosts]


class MongoDBOptions(EngineOptions):
    """What a `mongodb` section may say besides the keys that all have."""

    product = "MongoDB"
    default_port = 27017
    instead_of_host = "uri"

    uri = _Uri(
        "",
        "instead of `host` and `port`: `mongodb://HOST:PORT,HOST:PORT/?replicaSet=NAME`, or `mongodb+srv://NAME/` "
        "(TLS; needs `dnspython`; not tested)",
    )
    auth_database = Text("admin", "where the users' accounts stand; clients name it as `authSource`")
    roles = KnownTexts(
        ("readWrite", "dbAdmin"),
        ("readWrite", "dbAdmin", "read"),
        "what users get on each own database; of `readWrite`, `dbAdmin`, `read`",
    )
    mechanisms = KnownTexts(
        ("SCRAM-SHA-256",),
        ("SCRAM-SHA-256", "SCRAM-SHA-1"),
        "ways to log in that a password is kept for; of `SCRAM-SHA-256`, `SCRAM-SHA-1`. An account with others gets "
        "its password again",
    )
    marker_collection = TextOrOff(
        "_dbroster",
        "an empty collection that makes a new database exist; `false`: none, the database comes with the first write",
    )
    allow_plaintext_transport = Flag(
        False, "work although passwords travel without TLS to another machine; every run warns of it"
    )

    @property
    def named_hosts(self) -> list[str]:
        """The hosts of `uri`."""
        return _hosts(self.uri) if self.uri else []

    @property
    def brings_tls(self) -> bool:
        """What the name service names is reached by TLS only."""
        return self.uri.startswith(SRV)

    def refuse_user(self, name: str, /) -> str | None:
        """Refuse names of which no database name can be made."""
        return _refuse_name("user", name, USER_BYTES)

    def refuse_database(self, name: str, /) -> str | None:
        """Refuse names that MongoDB can't carry."""
        return _refuse_name("database", name, DATABASE_BYTES)

    def refuse_password(self, password: Secret, /) -> str | None:
        """Refuse what SCRAM-SHA-256 can't carry (RFC 7677: prepared as RFC 4013 says)."""
        found = saslprep_offender(password.reveal()) if "SCRAM-SHA-256" in self.mechanisms else None
        return f"the password contains {found}, which SCRAM-SHA-256 can't carry" if found else None


def _refuse_name(kind: str, name: str, limit: int) -> str | None:
    """Say why no database can have this name, or one that begins with it."""
    if "." in name:
        return f"the {kind} name {name!r} contains a dot, which MongoDB does not allow in names of databases"
    size = len(name.encode())
    return f"the {kind} name {name!r} has {size} bytes; at most {limit} will do with MongoDB" if size > limit else None


OPTIONS = MongoDBOptions
