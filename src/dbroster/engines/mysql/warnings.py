"""What the MySQL engine tells before it changes anything: warnings, and what the server must refuse."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from dbroster.engines.mysql import prepared_transactions
from dbroster.engines.mysql.access import ways_in
from dbroster.engines.mysql.access.accounts import Account, Key
from dbroster.engines.mysql.access.grants import Grant
from dbroster.engines.mysql.access.ways_in import FineGrant
from dbroster.engines.mysql.session import account, reading
from dbroster.engines.mysql.state import MySQLState
from dbroster.model.plan import Action, Verb
from dbroster.model.problems import Problem
from dbroster.model.state import Lock

FINE_TABLES = ("tables_priv", "columns_priv", "procs_priv")
_DEFINERS = """
    SELECT 'view' AS kind, TABLE_SCHEMA AS db, TABLE_NAME AS name, DEFINER AS definer
        FROM information_schema.VIEWS WHERE DEFINER IN %s
    UNION ALL SELECT 'routine', ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER
        FROM information_schema.ROUTINES WHERE DEFINER IN %s
    UNION ALL SELECT 'trigger', TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER
        FROM information_schema.TRIGGERS WHERE DEFINER IN %s
    UNION ALL SELECT 'event', EVENT_SCHEMA, EVENT_NAME, DEFINER
        FROM information_schema.EVENTS WHERE DEFINER IN %s"""
_REFERRING = """
    SELECT DISTINCT UNIQUE_CONSTRAINT_SCHEMA AS target, CONSTRAINT_SCHEMA AS db, TABLE_NAME AS name
        FROM information_schema.REFERENTIAL_CONSTRAINTS
        WHERE UNIQUE_CONSTRAINT_SCHEMA IN %s AND CONSTRAINT_SCHEMA <> UNIQUE_CONSTRAINT_SCHEMA"""


class MySQLWarnings(MySQLState):
    """Tells what a DBA should know."""

    def warnings(self) -> list[Problem]:
        """Anonymous accounts, accounts that shadow ours, statement logging, rules and rights that are out of reach."""
        with reading():
            accounts = self._accounts_seen()
            texts = [*self._server_warnings(), *self._session_warnings(), *self._neighbour_warnings(accounts)]
        texts += [
            f"the anonymous account {found} takes logins from {found.host} away from the roster's users; drop it: "
            f"DROP USER {account(*found.key)};"
            for found in accounts
            if not found.name
        ]
        return [*(Problem(text, warning=True) for text in texts), *self._notes, *self._view.shadows(accounts)]

    def _neighbour_warnings(self, accounts: Sequence[Account]) -> list[str]:
        """Ways into databases that no grant of dbroster's opens, and older passwords that still log in."""
        ours = [found for found in accounts if self._view.is_ours(found)]
        owners = self._survey.owners if self._survey else {}
        mandatory = self._mandatory()
        texts = list(ways_in.told(ours, self._edges, self._all_grants, owners, self._rules, mandatory))
        texts += [
            f"everybody has the role {role[0]}, which holds global privileges; to take it out of mandatory_roles: "
            f"{ways_in.without_role(mandatory, role)}"
            for role in mandatory
            if role in self._powerful
        ]
        texts += [
            f"an older password of {found} still logs in: ALTER USER {account(*found.key)} DISCARD OLD PASSWORD;"
            for found in ours
            if found.second_password and found.lock is Lock.OPEN and found.name not in self._renewed
        ]
        if self._fine_unseen:
            statements = " ".join(f"GRANT SELECT ON mysql.{t} TO {account(*self._admin)};" for t in FINE_TABLES)
            texts.append(f"grants on single tables and routines can't be seen; to see them: {statements}")
        return texts

    def _mandatory(self) -> list[Key]:
        return ways_in.mandatory_roles(self._settings.get("mandatory_roles", ""))

    def _server_warnings(self) -> list[str]:
        found = []
        if self._is_on("general_log"):
            found.append("general_log is on: the server's log will show password hashes, though no passwords")
        if self._settings.get("validate_password.policy", "").upper() in ("STRONG", "2"):
            found.append("validate_password's dictionary can't be read by clients, so it is not applied")
        return found

    def _session_warnings(self) -> list[str]:
        found = self._privileges
        if found.has("SUPER") or (found.has("PROCESS") and found.has(self.end_sessions_privilege)):
            return []
        rights = f"PROCESS, {self.end_sessions_privilege}"
        return [
            "sessions of removed users can't be ended, and stay at work until they disconnect; to allow it: "
            f"GRANT {rights} ON *.* TO {account(*self._admin)};"
        ]

    # --- what the server must refuse --------------------------------------------------------------------------------

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        """Find grants that the admin can't take away, definers elsewhere; note what a lock takes that others gave."""
        with reading():
            accounts = self._accounts_seen()
            leaving = {action.user for action in actions if action.verb in (Verb.LOCK_USER, Verb.DROP_USER)}
            definers = self._definers(actions, accounts)
            referring = self._referring(actions)
        self._notes = [*self._taken_by_locks(actions, accounts)]
        self._renewed = {action.user for action in actions if action.verb is Verb.UPDATE_PASSWORD}
        drops = {(a.user, a.database) for a in actions if a.verb is Verb.DROP_DATABASE and a.database}
        held = prepared_transactions.held(self._session, self.connection, drops)
        new = {action.database for action in actions if action.verb is Verb.CREATE_DATABASE and action.database}
        return [
            self._intrusion(action.user, action.database, new=action.database in new)
            if action.verb is Verb.GRANT_PRIVILEGES and action.database and action.user not in leaving
            else _held(action, held)
            or self._obstacle(action, leaving, definers)
            or (
                referring.get(action.database or "")
                if action.verb in (Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE)
                else None
            )
            for action in actions
        ]

    def _obstacle(self, action: Action, leaving: Collection[str], definers: Mapping[str, list[str]]) -> str | None:
        if action.verb is Verb.DROP_USER and (places := definers.get(action.user)):
            return (
                f"{action.user} is the DEFINER of {', '.join(places[:5])}, which would fail without the account: drop "
                "them or give them another DEFINER first"
            )
        mandatory = [role for role in self._mandatory() if role[0] == action.user]
        if action.verb is Verb.DROP_USER and mandatory:
            cure = ways_in.without_role(self._mandatory(), mandatory[0])
            return f"{action.user} is one of the server's mandatory_roles, which can't be dropped; take it out: {cure}"
        if action.database is None or self._grants_of_all is None or action.user in leaving:
            return None
        named = self._grants_of_all.reaching(action.database)
        own = [grant for grant in named if grant.user == action.user]
        if action.verb is Verb.DROP_DATABASE:
            return self._stuck((grant, grant.privileges) for grant in own)
        return None

    def _intrusion(self, user: str, database: str, *, new: bool) -> str | None:
        """Find what keeps a database open, if nothing else is to be done: the user's own grant comes first."""
        if self._grants_of_all is None:
            return None
        named = self._grants_of_all.reaching(database)
        right, wrong = self._spelled([grant for grant in named if grant.user == user], database)
        if not new and not self._rules.complete(right, database):
            return None
        excess = [*wrong, *(grant for grant in named if grant.user != user)]
        return self._stuck(((grant, grant.privileges) for grant in excess), self._fine_rivals(user, database))

    def _spelled(self, own: Sequence[Grant], database: str) -> tuple[list[Grant], list[Grant]]:
        """Part a user's grants on his database from those on the same name that are spelled otherwise."""
        rules = self._rules
        right = [grant for grant in own if rules.fold(grant.pattern) == rules.spelled(database)]
        return right, [g for g in own if g not in right and rules.fold(g.pattern) == rules.fold(database)]

    def _may_revoke(self, grant: Grant) -> bool:
        return self._privileges.may_revoke(grant.pattern, literal=self._rules.literal)

    def _may_revoke_fine(self, fine: FineGrant) -> bool:
        return self._privileges.may_pass_on(
            fine.privileges - {"GRANT OPTION"}, fine.database, literal=self._rules.literal
        )

    def _fine_rivals(self, user: str, database: str) -> list[FineGrant]:
        return [grant for grant in (self._fine or {}).get(self.fold_database(database), ()) if grant.user != user]

    def _stuck(self, excess: Iterable[tuple[Grant, Collection[str]]], fine: Iterable[FineGrant] = ()) -> str | None:
        """Word what only a more powerful account can take away: a grant whose name has no backslashes, for one."""
        statements = [ways_in.revoke(grant, some) for grant, some in excess if not self._may_revoke(grant)]
        statements += [grant.revoke() for grant in fine if not self._may_revoke_fine(grant)]
        if not statements:
            return None
        listed = "; ".join(statements)
        return f"a grant reaches more than the admin account may change; run as root: {listed};"

    def _definers(self, actions: Sequence[Action], accounts: Sequence[Account]) -> dict[str, list[str]]:
        """Find views, routines, triggers and events of users who are dropped, outside of what is dropped with them."""
        users = {action.user for action in actions if action.verb is Verb.DROP_USER}
        names = {f"{found.name}@{found.host}": found.name for found in accounts if found.name in users}
        if not names:
            return {}
        dropped = {self.fold_database(a.database) for a in actions if a.database and a.verb is Verb.DROP_DATABASE}
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in self._session.rows(_DEFINERS, *[tuple(names)] * 4):
            if self.fold_database(row["db"]) not in dropped and row["definer"] in names:
                found[names[row["definer"]]].append(f"the {row['kind']} {row['db']}.{row['name']}")
        return found

    def _referring(self, actions: Sequence[Action]) -> dict[str, str]:
        """Find foreign keys from databases of others that stay: the server refuses a drop, or drops a part of it."""
        drops = {self.fold_database(a.database): a for a in actions if a.database and a.verb is Verb.DROP_DATABASE}
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in self._session.rows(_REFERRING, tuple(drops)) if drops else ():
            drop = drops.get(self.fold_database(row["target"]))
            if drop and self.fold_database(row["db"]) not in drops and not self._rules.belongs(drop.user, row["db"]):
                found[str(drop.database)].append(f"{row['db']}.{row['name']}")
        text = "tables of other databases refer to it by foreign keys ({}); drop those keys first"
        return {name: text.format(", ".join(sorted(tables))) for name, tables in found.items()}

    def _taken_by_locks(self, actions: Sequence[Action], accounts: Sequence[Account]) -> Iterable[Problem]:
        """Tell which privileges go with a lock that dbroster has not given, and so can't give back."""
        users = {action.user for action in actions if action.verb is Verb.LOCK_USER}
        keys = {found.key: found for found in accounts if found.name in users and self._view.is_ours(found)}
        lost: defaultdict[Key, list[str]] = defaultdict(list)
        for grant in self._all_grants:
            key = (grant.user, grant.host)
            if key in keys and self._survey and not self._is_own(grant, self._survey.owners):
                lost[key].append(f"{', '.join(sorted(grant.privileges))} on {grant.pattern}")
        for grants in (self._fine or {}).values():
            for fine in grants:
                if (fine.user, fine.host) in keys:
                    lost[fine.user, fine.host].append(f"those on {fine.database}.{fine.name}")
        for key, found in keys.items():
            lost[key] += [f"the role {role}" for role in found.roles if self.commenting and role[:8] != "dbroster"]
        for key, texts in ((key, texts) for key, texts in lost.items() if texts):
            yield Problem(
                f"the lock takes privileges from {keys[key]} that dbroster has not given and can't give back: "
                f"{'; '.join(texts)}",
                user=key[0],
                warning=True,
            )

    def _is_own(self, grant: Grant, owners: Mapping[str, str]) -> bool:
        return any(owners.get(name) == grant.user for name in self._rules.names(grant))


def _held(action: Action, held: Collection[str]) -> str | None:
    return prepared_transactions.REASON if action.verb is Verb.DROP_DATABASE and action.database in held else None
