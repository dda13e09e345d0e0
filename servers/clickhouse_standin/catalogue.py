"""What the catalogue shows of the store, and the users.xml from which the real engine evaluates the privileges."""

import re
from xml.sax.saxutils import escape

from servers.clickhouse_standin.entities import HASHED, Entity, Method, User
from servers.clickhouse_standin.sql import name_list, quote_name, quote_string, string_list
from servers.clickhouse_standin.store import Store

Row = dict[str, object]


def show_create(store: Store, kind: str, name: str, *, secrets: bool = False) -> str:
    """The answer to SHOW CREATE USER and SHOW CREATE ROLE; with secrets, hashes and salts in it."""
    entity = store.get(kind, name)
    user = entity if isinstance(entity, User) else None
    parts = [f"CREATE {kind.upper()} {quote_name(name)}"]
    if user:
        parts.append("IDENTIFIED WITH " + ", ".join(_method(method, secrets=secrets) for method in user.methods))
        parts += [*_hosts_clause(user), *_default_clauses(user)]
    if entity.settings:
        parts.append("SETTINGS " + ", ".join(entity.settings))
    if user and user.grantees:
        parts.append(f"GRANTEES {user.grantees}")
    return " ".join(parts)


def _method(method: Method, *, secrets: bool) -> str:
    if not (secrets and method.secret):
        return method.type
    kind = next((hashed for hashed, stored in HASHED.items() if stored == method.type), method.type)
    salt = f" SALT {quote_string(method.salt)}" if method.salt else ""
    return f"{kind} BY {quote_string(method.secret)}{salt}"


def _hosts_clause(user: User) -> list[str]:
    if not user.hosts:
        return ["HOST NONE"]
    if "ANY" in user.hosts:
        return []
    kinds = [kind for kind in ("LOCAL", "IP", "NAME", "REGEXP", "LIKE") if kind in user.hosts]
    return ["HOST " + ", ".join(f"{kind} {string_list(user.hosts[kind])}".rstrip() for kind in kinds)]


def _default_clauses(user: User) -> list[str]:
    found = [f"DEFAULT DATABASE {quote_name(user.default_database)}"] if user.default_database else []
    if user.default_list:
        found.append("DEFAULT ROLE " + name_list(user.default_list))
    elif user.default_except:
        found.append("DEFAULT ROLE ALL EXCEPT " + name_list(user.default_except))
    elif not user.default_all:
        found.append("DEFAULT ROLE NONE")
    return found


def rows(store: Store, table: str) -> list[Row]:
    """Rows of the system tables that the engine cannot show truthfully: users, roles, role_grants."""
    if table == "roles":
        return [{"name": role.name, "id": role.id, "storage": role.storage} for role in store.roles.values()]
    if table == "role_grants":
        return [_role_grant(store, entity, role) for entity in store.everybody() for role in entity.roles]
    return [_user_row(user) for user in store.users.values()]


def _role_grant(store: Store, entity: Entity, role: str) -> Row:
    user = entity if isinstance(entity, User) else None
    return {
        "user_name": entity.name if user else None,
        "role_name": None if user else entity.name,
        "granted_role_name": role,
        "granted_role_id": store.roles[role].id,
        "granted_role_is_default": int(user is None or role in user.active_roles()),
        "with_admin_option": int(entity.roles[role]),
    }


def _user_row(user: User) -> Row:
    return {
        "name": user.name,
        "id": user.id,
        "storage": user.storage,
        "auth_type": [method.type for method in user.methods],
        "auth_params": ["{}"] * len(user.methods),
        "host_ip": ["::/0"] if "ANY" in user.hosts else user.hosts.get("IP", []),
        "host_names": (["localhost"] if "LOCAL" in user.hosts else []) + user.hosts.get("NAME", []),
        "host_names_regexp": user.hosts.get("REGEXP", []),
        "host_names_like": user.hosts.get("LIKE", []),
        "default_roles_all": int(user.default_all),
        "default_roles_list": user.default_list,
        "default_roles_except": user.default_except,
        "grantees_any": int(not user.grantees),
        "default_database": user.default_database,
    }


# --- users.xml --------------------------------------------------------------------------------------------------------


def _alias(name: str) -> str:
    """XML element names cannot hold every user name: such names get another one."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "x_" + name.encode().hex()


def aliases(store: Store, identity: str) -> dict[str, str]:
    """{real name: element name}. chdb always logs in as `default`, so that is where `identity` goes."""
    names = {name: _alias(name) for name in [*store.users, *store.roles]}
    if identity != "default":
        names["default"], names[identity] = "x_default", "default"
    return names


def render(store: Store, identity: str, database_privileges: str) -> str:
    """The users.xml that makes the engine run as `identity`."""
    names = aliases(store, identity)

    def element(entity: Entity, login: str = "") -> str:
        queries = _grants(entity, identity, names, database_privileges) or ["REVOKE ALL ON *.*"]
        inner = "".join(f"<query>{escape(query)}</query>" for query in queries)
        return f"<{names[entity.name]}>{login}<grants>{inner}</grants></{names[entity.name]}>"

    users = "".join(element(user, "<no_password/>") for user in store.users.values())
    roles = "".join(element(role) for role in store.roles.values())
    # chdb turns on two settings that a server has off.
    profile = "<implicit_select>0</implicit_select><allow_introspection_functions>0</allow_introspection_functions>"
    return (
        f"<clickhouse><profiles><default>{profile}</default></profiles><quotas><default/></quotas>"
        f"<roles>{roles}</roles><users>{users}</users></clickhouse>"
    )


def _grants(entity: Entity, identity: str, names: dict[str, str], database_privileges: str) -> list[str]:
    # Over SQL the server drops from `ALL ON db.*` what cannot be granted on a database; reading users.xml it does not
    # (it would grant e.g. ALTER USER on a user named like the database).
    found = [re.sub(r"\bALL ON (?!\*\.\*)", f"{database_privileges} ON ", query) for query in entity.history]
    # The roles that are not default ones are left out for the identity itself.
    own = isinstance(entity, User) and entity.name == identity
    active = entity.active_roles() if isinstance(entity, User) and own else list(entity.roles)
    return found + [
        f"GRANT {quote_name(names[role])}" + (" WITH ADMIN OPTION" if admin else "")
        for role, admin in entity.roles.items()
        if role in active
    ]
