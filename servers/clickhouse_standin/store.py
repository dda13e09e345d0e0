"""The access storage that chdb lacks, kept in memory.

`Store` holds users and roles and applies the access statements to them. The statements arrive in ClickHouse's own
canonical spelling (the caller runs them through `formatQuerySingleLine`), so the little parser only has to understand
one spelling of each clause.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from servers.clickhouse_standin.entities import (
    Entity,
    Method,
    User,
    add_hosts,
    drop_hosts,
    hosts_of,
    method_of,
)
from servers.clickhouse_standin.sql import (
    ServerError,
    Token,
    Tokens,
    clauses,
    names_of,
    quote_name,
    split_commas,
    starts_with,
    text_list,
    text_of,
    tokenize,
    unknown,
)

CLAUSES = (
    *("NOT IDENTIFIED", "IDENTIFIED", "ADD IDENTIFIED", "HOST", "ADD HOST", "DROP HOST", "VALID UNTIL", "IN"),
    *("ROLE", "DEFAULT ROLE", "DEFAULT DATABASE", "GRANTEES", "SETTINGS", "RENAME TO"),
    *("DROP ALL SETTINGS", "DROP ALL PROFILES", "ADD SETTING", "ADD PROFILE"),
)
FLAGS = ("IF NOT EXISTS", "IF EXISTS", "OR REPLACE")

Found = dict[str, Tokens]


class Store:
    """All users and roles. `default` is the administrator: as if from users.xml, read-only for SQL."""

    def __init__(self, admin_password: str = "", password_rules: Iterable[tuple[str, str]] = ()) -> None:
        admin = User("default", storage="users_xml", methods=[Method("plaintext_password", admin_password)])
        admin.history = ["GRANT ALL ON *.* WITH GRANT OPTION"]
        self.users: dict[str, User] = {"default": admin}
        self.roles: dict[str, Entity] = {}
        self.password_rules = [(re.compile(pattern), message) for pattern, message in password_rules]

    def everybody(self) -> list[Entity]:
        """All users, then all roles."""
        return [*self.users.values(), *self.roles.values()]

    def authenticate(self, name: str, password: str, address: str) -> None:
        """Raise the server's one answer to every kind of failed login."""
        user = self.users.get(name)
        if user and user.allows_host(address) and any(method.accepts(password) for method in user.methods):
            return
        text = f"{name}: Authentication failed: password is incorrect, or there is no user with such name"
        raise ServerError(516, "AUTHENTICATION_FAILED", text)

    def apply(self, sql: str, actor: str) -> None:
        """Apply one canonical statement. Raises ServerError and changes nothing if it fails."""
        tokens = [token for token in tokenize(sql) if token.raw != ";"]
        verb = tokens[0].raw.upper()
        if verb in ("GRANT", "REVOKE"):
            _Grant(sql, tokens).apply(self, actor)
        elif verb == "SET":  # SET DEFAULT ROLE r TO u
            at = next(i for i, token in enumerate(tokens) if token.is_word("TO"))
            for user in [self.writable("user", name) for name in names_of(tokens[at + 1 :])]:
                assert isinstance(user, User)
                self._set_default_roles(user, tokens[3:at], creating=False)
        else:
            rest, flags = _flags(tokens[2:])
            steps = {"CREATE": self._create, "ALTER": self._alter, "DROP": self._drop}
            steps[verb](sql, tokens[1].raw.lower(), rest, flags)

    def get(self, kind: str, name: str) -> Entity:
        """The user or role of this name."""
        found = self.users.get(name) if kind == "user" else self.roles.get(name)
        if found is None:
            raise unknown(kind, name)
        return found

    def writable(self, kind: str, name: str) -> Entity:
        """The user or role of this name, unless SQL may not change it."""
        entity = self.get(kind, name)
        if entity.storage == "users_xml":
            text = f"Cannot update {kind} `{name}` in users_xml because this storage is readonly"
            raise ServerError(495, "ACCESS_STORAGE_READONLY", text)
        return entity

    def _has(self, kind: str, name: str) -> bool:
        return name in (self.users if kind == "user" else self.roles)

    def _put(self, entity: Entity) -> None:
        if isinstance(entity, User):
            self.users[entity.name] = entity
        else:
            self.roles[entity.name] = entity

    def _take(self, kind: str, name: str) -> Entity:
        return self.users.pop(name) if kind == "user" else self.roles.pop(name)

    def _existing(self, kind: str, tokens: Tokens, flags: set[str]) -> list[str]:
        return [name for name in names_of(tokens) if "IF EXISTS" not in flags or self._has(kind, name)]

    # --- CREATE, ALTER, DROP ------------------------------------------------------------------------------------------

    def _create(self, sql: str, kind: str, tokens: Tokens, flags: set[str]) -> None:
        head, found = clauses(tokens, CLAUSES)
        parts = [part for part in split_commas(head) if self._is_free(kind, names_of(part)[0], flags)]
        new = [self._made(sql, kind, part, found) for part in parts]
        for entity in new:
            if self._has(kind, entity.name):  # OR REPLACE keeps the id, drops everything else
                entity.id = self.get(kind, entity.name).id
            self._put(entity)

    def _is_free(self, kind: str, name: str, flags: set[str]) -> bool:
        """Whether to create it; False with IF NOT EXISTS, an error without."""
        if not self._has(kind, name):
            return True
        if "IF NOT EXISTS" in flags:
            return False
        where = self.get(kind, name).storage
        if "OR REPLACE" in flags and where != "users_xml":
            return True
        text = f"{kind} `{name}`: cannot insert because {kind} `{name}` already exists in {where}"
        raise ServerError(493, "ACCESS_ENTITY_ALREADY_EXISTS", text)

    def _made(self, sql: str, kind: str, part: Tokens, found: Found) -> Entity:
        name = names_of(part)[0]
        entity = User(name) if kind == "user" else Entity(name)
        if isinstance(entity, User) and len(part) == 3:  # name@'pattern'
            entity.hosts = hosts_of(tokenize(f"LIKE {part[2].raw}"))
        self._update(sql, entity, found, creating=True)
        return entity

    def _alter(self, sql: str, kind: str, tokens: Tokens, flags: set[str]) -> None:
        head, found = clauses(tokens, CLAUSES)
        entities = [self.writable(kind, name) for name in self._existing(kind, head, flags)]
        for entity in entities:
            self._update(sql, entity, found, creating=False)
        if "RENAME TO" in found and entities:
            self._rename(kind, entities[0], names_of(found["RENAME TO"])[0])

    def _rename(self, kind: str, entity: Entity, name: str) -> None:
        old = entity.name
        if self._has(kind, name):
            text = f"{kind} `{old}`: cannot rename to `{name}` because {kind} `{name}` already exists"
            raise ServerError(493, "ACCESS_ENTITY_ALREADY_EXISTS", text)
        self._take(kind, old)
        entity.name = name
        self._put(entity)
        for other in self.everybody() if kind == "role" else []:
            if old in other.roles:
                other.roles[name] = other.roles.pop(old)

    def _drop(self, sql: str, kind: str, tokens: Tokens, flags: set[str]) -> None:
        del sql
        head, _ = clauses(tokens, ["FROM"])
        names = self._existing(kind, head, flags)
        for name in names:
            self.writable(kind, name)
        for name in names:
            self._take(kind, name)
            for entity in self.everybody() if kind == "role" else []:
                entity.roles.pop(name, None)
                if isinstance(entity, User):
                    entity.default_list = [role for role in entity.default_list if role != name]
                    entity.default_except = [role for role in entity.default_except if role != name]

    # --- the clauses of CREATE and ALTER ------------------------------------------------------------------------------

    def _update(self, sql: str, entity: Entity, found: Found, *, creating: bool) -> None:
        _update_settings(sql, entity, found)
        if isinstance(entity, User):
            self._update_login(entity, found)
            self._update_roles(entity, found, creating=creating)
            if "DEFAULT DATABASE" in found:
                value = found["DEFAULT DATABASE"][0]
                entity.default_database = "" if value.raw == "NONE" else value.value
            if "GRANTEES" in found:
                text = text_of(sql, found["GRANTEES"])
                entity.grantees = "" if text == "ANY" else text

    def _update_login(self, user: User, found: Found) -> None:
        def methods(clause: str) -> list[Method]:
            return [method_of(part, self.password_rules) for part in split_commas(found[clause])]

        if "NOT IDENTIFIED" in found:
            user.methods = [Method("no_password")]
        if "IDENTIFIED" in found:
            user.methods = methods("IDENTIFIED")
        if "ADD IDENTIFIED" in found:
            user.methods = user.methods + methods("ADD IDENTIFIED")
        if "HOST" in found:
            user.hosts = hosts_of(found["HOST"])
        if "ADD HOST" in found:
            user.hosts = add_hosts(user.hosts, hosts_of(found["ADD HOST"]))
        if "DROP HOST" in found:
            user.hosts = drop_hosts(user.hosts, hosts_of(found["DROP HOST"]))

    def _update_roles(self, user: User, found: Found, *, creating: bool) -> None:
        for name in names_of(found.get("ROLE", [])):
            user.roles.setdefault(self.get("role", name).name, False)
        if "DEFAULT ROLE" in found:
            self._set_default_roles(user, found["DEFAULT ROLE"], creating=creating)

    def _set_default_roles(self, user: User, tokens: Tokens, *, creating: bool) -> None:
        head, found = clauses(tokens, ["EXCEPT"])
        user.default_all, user.default_list, user.default_except = head[0].is_word("ALL"), [], []
        if user.default_all:
            user.default_except = [self.get("role", name).name for name in names_of(found.get("EXCEPT", []))]
        elif not head[0].is_word("NONE"):
            user.default_list = [self.get("role", name).name for name in names_of(head)]
        for name in user.default_list:
            if creating:  # CREATE USER ... DEFAULT ROLE r also grants r
                user.roles.setdefault(name, False)
            elif name not in user.roles:
                text = f"Role {quote_name(name)} should be granted to set default"
                raise ServerError(512, "SET_NON_GRANTED_ROLE", text)


def _flags(tokens: Tokens) -> tuple[Tokens, set[str]]:
    """Cut IF EXISTS and the like from the front."""
    flags = set()
    for flag in FLAGS:
        words = flag.split()
        if starts_with(tokens, words):
            flags.add(flag)
            tokens = tokens[len(words) :]
    return tokens, flags


def _update_settings(sql: str, entity: Entity, found: Found) -> None:
    settings = entity.settings
    if "SETTINGS" in found:
        settings = text_list(sql, found["SETTINGS"])
    if "DROP ALL SETTINGS" in found:  # what ALTER USER ... SETTINGS x = 1 becomes
        settings = []
    profiles = [f"PROFILE {text}" for text in text_list(sql, found.get("ADD PROFILE", []))]
    added = profiles + text_list(sql, found.get("ADD SETTING", []))
    entity.settings = [text for text in [*settings, *added] if text != "NONE"]


# --- GRANT and REVOKE -------------------------------------------------------------------------------------------------


@dataclass
class _Grant:
    """One GRANT or REVOKE, cut into its parts."""

    sql: str
    tokens: Tokens

    def __post_init__(self) -> None:
        self.revoke = self.tokens[0].is_word("REVOKE")
        body, self.option = self.tokens[1:], False
        if starts_with(body, ("GRANT", "OPTION", "FOR")) or starts_with(body, ("ADMIN", "OPTION", "FOR")):
            body, self.option = body[3:], True
        options = ("WITH GRANT OPTION", "WITH ADMIN OPTION", "WITH REPLACE OPTION")
        self.what, self.found = clauses(body, ["TO", "FROM", "EXCEPT", *options])
        self.option = self.option or "WITH GRANT OPTION" in self.found or "WITH ADMIN OPTION" in self.found
        self.replace = "WITH REPLACE OPTION" in self.found

    def apply(self, store: Store, actor: str) -> None:
        """Change what the grantees have."""
        if self.what[0].is_word("CURRENT"):
            raise ServerError(48, "NOT_IMPLEMENTED", "The stand-in does not know GRANT CURRENT GRANTS")
        entities = self._grantees(store, actor)
        if _is_privilege(self.what):
            for entity in entities:
                entity.history = [*([] if self.replace else entity.history), self._privilege_statement()]
        else:
            names = [name for name in names_of(self.what) if name.upper() not in ("ALL", "NONE")]
            roles = [store.get("role", name).name for name in names]
            for entity in entities:
                self._apply_roles(entity, roles)

    def _grantees(self, store: Store, actor: str) -> list[Entity]:
        target = self.found["FROM" if self.revoke else "TO"]
        if target[0].is_word("ALL"):
            spared = names_of(self.found.get("EXCEPT", []))
            return [one for one in store.everybody() if one.name not in spared and one.storage != "users_xml"]
        names = [actor if name.upper() == "CURRENT_USER" else name for name in names_of(target)]
        return [store.writable("user" if name in store.users else "role", name) for name in names]

    def _privilege_statement(self) -> str:
        text = text_of(self.sql, self.what)
        if self.revoke:
            return f"REVOKE {'GRANT OPTION FOR ' if self.option else ''}{text}"
        return f"GRANT {text}{' WITH GRANT OPTION' if self.option else ''}"

    def _apply_roles(self, entity: Entity, roles: Sequence[str]) -> None:
        if self.replace:
            entity.roles.clear()
        every = self.revoke and self.what[0].is_word("ALL")
        for role in list(entity.roles) if every else roles:
            if not self.revoke:
                entity.roles[role] = entity.roles.get(role, False) or self.option
            elif self.option:
                entity.roles[role] = False
            else:
                entity.roles.pop(role, None)


def _is_privilege(what: Sequence[Token]) -> bool:
    """Whether privileges are granted (they have an ON outside of column lists), not roles."""
    depth = 0
    for token in what:
        depth += (token.raw == "(") - (token.raw == ")")
        if depth == 0 and token.is_word("ON"):
            return True
    return False
