"""Users and roles as the stand-in keeps them, and the clauses that describe a login."""

import hashlib
import ipaddress
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from servers.clickhouse_standin.sql import ServerError, Tokens

Hosts = dict[str, list[str]]
Rules = Sequence[tuple[re.Pattern[str], str]]


@dataclass
class Entity:
    """A role, or what a user has in common with one."""

    name: str
    storage: str = "local_directory"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    history: list[str] = field(default_factory=list)
    """GRANT and REVOKE statements without their grantees, in order."""
    roles: dict[str, bool] = field(default_factory=dict)
    """Granted roles; the value tells whether with admin option."""
    settings: list[str] = field(default_factory=list)


def sha256_hex(text: str) -> str:
    """SHA-256 as ClickHouse writes it."""
    return hashlib.sha256(text.encode()).hexdigest().upper()


def double_sha1_hex(text: str) -> str:
    """SHA-1 of SHA-1, as ClickHouse writes it."""
    return hashlib.sha1(hashlib.sha1(text.encode()).digest()).hexdigest().upper()


@dataclass
class Method:
    """One way to log in; `type` is spelt as in system.users, `secret` is a hash or a plain text."""

    type: str
    secret: str = ""
    salt: str = ""

    def accepts(self, password: str) -> bool:
        """Whether the password is right; other kinds are stored and shown, but never accepted."""
        match self.type:
            case "no_password":
                return True
            case "plaintext_password":
                return password == self.secret
            case "sha256_password":
                return sha256_hex(password + self.salt) == self.secret
            case "double_sha1_password":
                return double_sha1_hex(password) == self.secret
            case _:
                return False


@dataclass
class User(Entity):
    """A user."""

    methods: list[Method] = field(default_factory=lambda: [Method("no_password")])
    hosts: Hosts = field(default_factory=lambda: {"ANY": []})
    default_all: bool = True
    default_list: list[str] = field(default_factory=list)
    default_except: list[str] = field(default_factory=list)
    default_database: str = ""
    grantees: str = ""

    def active_roles(self) -> list[str]:
        """The roles that are switched on at login."""
        return [
            role
            for role in self.roles
            if (self.default_all and role not in self.default_except) or role in self.default_list
        ]

    def allows_host(self, address: str) -> bool:
        """Whether he may log in from this address; patterns and names of hosts are not looked at."""
        if "ANY" in self.hosts:
            return True
        ip = ipaddress.ip_address(address)
        networks = [ipaddress.ip_network(network, strict=False) for network in self.hosts.get("IP", [])]
        return ("LOCAL" in self.hosts and ip.is_loopback) or any(ip in network for network in networks)


HASHED = {
    "sha256_hash": "sha256_password",
    "double_sha1_hash": "double_sha1_password",
    "bcrypt_hash": "bcrypt_password",
    "scram_sha256_hash": "scram_sha256_password",
}


def method_of(tokens: Tokens, rules: Rules) -> Method:
    """Read what follows IDENTIFIED. The rules apply to plain passwords, since nothing else can be checked."""
    words = [token.raw for token in tokens if token.kind == "word"]
    strings = [token.value for token in tokens if token.kind == "string"]
    kind = next((word for word in words if word not in ("WITH", "BY", "SALT")), "sha256_password")
    if kind in HASHED:
        secret = strings[0] if "bcrypt" in kind else strings[0].upper()
        return Method(HASHED[kind], secret, "".join(strings[1:2]))
    if not kind.endswith("_password") or kind == "no_password":
        return Method(kind)
    return _method_of_password(kind, strings[0], rules)


def _method_of_password(kind: str, password: str, rules: Rules) -> Method:
    broken = [message for pattern, message in rules if not pattern.search(password)]
    if broken:
        raise ServerError(36, "BAD_ARGUMENTS", f"Invalid password. The password should: {', '.join(broken)}")
    if kind == "sha256_password":
        salt = uuid.uuid4().hex.upper()
        return Method(kind, sha256_hex(password + salt), salt)
    if kind == "double_sha1_password":
        return Method(kind, double_sha1_hex(password))
    return Method(kind, password)


LOOPBACK = ("127.0.0.1", "::1", "localhost")


def hosts_of(tokens: Tokens) -> Hosts:
    """Read what follows HOST, and bring it into the form in which ClickHouse shows it."""
    hosts: Hosts = {}
    values: list[str] = []
    for token in tokens:
        if token.kind == "word":
            values = hosts.setdefault(token.raw.upper(), [])
        elif token.kind == "string":
            values.append(token.value)
    hosts.pop("NONE", None)
    if "%" in hosts.get("LIKE", []):
        return {"ANY": []}
    return _with_local(hosts) if _names_loopback(hosts) else hosts


def _names_loopback(hosts: Hosts) -> bool:
    return (
        any(value in LOOPBACK[:2] for value in hosts.get("IP", []))
        or hosts.get("NAME") == ["localhost"]
        or hosts.get("LIKE") in (["::1"], ["localhost"])
    )


def _with_local(hosts: Hosts) -> Hosts:
    """Loopback addresses are shown as LOCAL."""
    shown: Hosts = {}
    for kind, values in hosts.items():
        rest = [value for value in values if value not in LOOPBACK]
        if rest or kind not in ("IP", "NAME", "LIKE"):
            shown[kind] = rest
    return shown | {"LOCAL": []}


def add_hosts(hosts: Hosts, more: Hosts) -> Hosts:
    """What ADD HOST does."""
    changed = {kind: list(values) for kind, values in hosts.items()}
    for kind, values in more.items():
        kept = changed.setdefault(kind, [])
        kept += [value for value in values if value not in kept]
    return changed


def drop_hosts(hosts: Hosts, fewer: Hosts) -> Hosts:
    """What DROP HOST does."""
    changed = dict(hosts)
    for kind, values in fewer.items():
        kept = [value for value in changed.pop(kind, []) if value not in values]
        if kept:
            changed[kind] = kept
    return changed
