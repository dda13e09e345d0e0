"""What a DBA should know of a PostgreSQL server: who is out of reach, who has too much, what shows verifiers."""

from collections.abc import Iterator, Mapping, Sequence

from dbroster.engines.postgresql import statements
from dbroster.engines.postgresql.removal.dependencies import living_on
from dbroster.engines.postgresql.session import MEMBERSHIP_OPTIONS, PARAMETER_GRANTS, Session, quoted
from dbroster.engines.postgresql.state import read_lent
from dbroster.model.connection import Connection
from dbroster.model.problems import Problem
from dbroster.model.state import ExistingUser, Lock

_NAMED = 20
"""So many names stand in a text, or in a statement that names its roles."""


def warnings(session: Session, connection: Connection, users: Mapping[str, ExistingUser]) -> Iterator[Problem]:
    """Judge the accounts as they were read, and the server's settings."""
    managed = [user for user in users.values() if user.managed]
    if names := out_of_reach(session, [user.name for user in managed]):
        yield Problem(_out_of_reach(session, connection.roster, names), warning=True)
    if weak := sorted(u.name for u in managed if any(v.value.reveal().startswith("md5") for v in u.verifiers)):
        text = f"accounts with md5 verifiers, which only a new password replaces: {', '.join(weak)}"
        yield Problem(text, warning=True)
    for text in read_lent(session):
        yield Problem(text, warning=True)
    if locked := sorted(user.name for user in managed if user.lock is Lock.OURS):
        yield from (Problem(text, warning=True) for text in living_on(session, connection, locked))
    if session.connections_left < 1:
        text = "the server has no connection left, so the run works on the one it has, slowly; end idle ones"
        yield Problem(text, warning=True)
    if session.exposing:
        yield Problem(_exposed(session), warning=True)


def out_of_reach(session: Session, names: Sequence[str]) -> list[str]:
    """Name the roles that CREATEROLE does not reach; before PostgreSQL 16 it reached all."""
    if session.superuser or session.version < MEMBERSHIP_OPTIONS:
        return []
    rows = session.rows(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
        " AND NOT pg_has_role(oid, 'MEMBER WITH ADMIN OPTION') ORDER BY 1",
        [list(names)],
    )
    return [name for (name,) in rows]


def _out_of_reach(session: Session, roster: str, names: Sequence[str]) -> str:
    """Say it once for all; PostgreSQL 16 took from CREATEROLE what was not given WITH ADMIN OPTION."""
    if len(names) > _NAMED:
        shown = f"{len(names)} accounts ({', '.join(names[:_NAMED])}, ...)"
        option = f"WITH ADMIN TRUE, INHERIT TRUE, SET TRUE', rolname, '{session.admin}')"
        marked = f"pg_catalog.shobj_description(oid, 'pg_authid') LIKE 'dbroster/2 {roster} %'"
        statement = f"SELECT pg_catalog.format('GRANT %I TO %I {option} FROM pg_roles WHERE {marked} \\gexec"  # noqa: S608 - for people
    else:
        shown = f"the account {names[0]}" if len(names) == 1 else f"{len(names)} accounts ({', '.join(names)})"
        statement = session.text(statements.give_administration(names, session.admin))
    return f"this admin may not change {shown}: it has not created them on this server; a superuser runs: {statement}"


def _exposed(session: Session) -> str:
    """Say where verifiers can be read, and why."""
    found = {name: f"{name} is {value}" for name, value in sorted(session.exposing.items())}
    if failing := found.get("log_min_error_statement"):
        found["log_min_error_statement"] = f"{failing} (for statements that fail)"
    shown = ", ".join(found.values())
    text = f"the server writes password verifiers to its log or its statistics, since {shown}"
    if session.version < PARAMETER_GRANTS:
        return f"{text}; before PostgreSQL 15 only a superuser may switch that off for a session"
    grant = f"GRANT SET ON PARAMETER {', '.join(sorted(session.exposing))} TO {quoted(session.admin)};"
    return f"{text}; a superuser may let dbroster switch that off for its own statements: {grant}"
