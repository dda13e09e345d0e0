"""New names by archives, for accounts that have nothing that somebody else gave."""

from collections.abc import Iterator, Sequence

from dbroster.engines.mysql.beforehand.foresight import Foresight
from dbroster.engines.mysql.removal.dependencies import referring
from dbroster.engines.mysql.removal.grant_changes import GrantChanges
from dbroster.engines.mysql.session import Session, identifier
from dbroster.engines.mysql.state import State
from dbroster.engines.renamer import Archiving, Renamer, given_elsewhere
from dbroster.model.plan import Action, Verb

_READING = """
    SELECT v.TABLE_SCHEMA AS db, v.TABLE_NAME AS name, s.SCHEMA_NAME AS target FROM information_schema.VIEWS v
    JOIN information_schema.SCHEMATA s ON s.SCHEMA_NAME <> v.TABLE_SCHEMA
    WHERE v.TABLE_SCHEMA IN %s AND s.SCHEMA_NAME IN %s
        AND INSTR(v.VIEW_DEFINITION, CONCAT('`', s.SCHEMA_NAME, '`.')) > 0"""


_UNTRUSTED = """
    SELECT 1 FROM DUAL WHERE @@GLOBAL.log_bin AND NOT @@GLOBAL.log_bin_trust_function_creators AND (
        EXISTS (SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN %s)
        OR EXISTS (
            SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA IN %s AND ROUTINE_TYPE = 'FUNCTION'))"""
"""Users without SUPER may make neither triggers nor functions then, whoever has let them make these."""


class MySQLRenamer(Renamer):
    """By archives."""

    def __init__(self, handler: Archiving, session: Session, state: State, changes: GrantChanges) -> None:
        super().__init__(handler)
        self._session, self._state, self._changes = session, state, changes

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        """Beside what an archive does not hold, privileges and roles that a DBA has given."""
        lock = [Action(Verb.LOCK_USER, user)]
        foresight = Foresight(self._session, self._handler.connection, self._state, self._changes, (), lock)
        taken = [problem.text for problem in foresight.taken_by_locks()]
        roles = {role for found in self._state.ours([user]) for role in found.roles}
        others = sorted(f"the role {role}" for role in roles if not role.startswith("dbroster"))
        yield from given_elsewhere(user, taken if self._session.is_mariadb else [*taken, *others])
        yield from self._naming(databases)
        if databases and self._session.rows(_UNTRUSTED, tuple(databases), tuple(databases)):
            text = "users may not make triggers and functions here, as long as the binary log is on"
            yield f"{text}; let them do so for a while: SET GLOBAL log_bin_trust_function_creators = 1;"
        yield from super().obstacles(user, databases)

    def _naming(self, databases: Sequence[str]) -> Iterator[str]:
        """Say which keys and views name another one of these databases: an archive makes them with the old name."""
        if len(databases) < 2:
            return
        for row in referring(self._session, databases):
            table, rule = f"{identifier(row['db'])}.{identifier(row['name'])}", identifier(row["rule"])
            cure = f"ALTER TABLE {table} DROP FOREIGN KEY {rule};"
            yield f"the foreign key {row['rule']} of {row['db']}.{row['name']} refers to {row['target']}: {cure}"
        for row in self._session.rows(_READING, tuple(databases), tuple(databases)):
            cure = f"DROP VIEW {identifier(row['db'])}.{identifier(row['name'])};"
            yield f"the view {row['db']}.{row['name']} reads {row['target']}; make it again afterwards: {cure}"
