"""What a DBA should know of a server: ways in that no grant of dbroster's opens, and rights that are out of reach."""

from collections.abc import Collection, Iterator, Sequence

from dbroster.engines.mysql.access import ways_in
from dbroster.engines.mysql.access.accounts import Account, Key
from dbroster.engines.mysql.access.admin_privileges import FINE_TABLES, Held
from dbroster.engines.mysql.facts import ServerFacts
from dbroster.engines.mysql.session import account
from dbroster.engines.mysql.state import State
from dbroster.model.state import Lock


def of_server(facts: ServerFacts) -> Iterator[str]:
    """What its settings let happen."""
    if facts.is_on("general_log"):
        yield "general_log is on: the server's log will show password hashes, though no passwords"
    if facts.settings.get("validate_password.policy", "").upper() in ("STRONG", "2"):
        yield "validate_password's dictionary can't be read by clients, so it is not applied"


def of_admin(held: Held, admin: Key, ending: str, *, fine_unseen: bool) -> Iterator[str]:
    """What the admin can't do; `ending` is the privilege to end sessions."""
    if not held.ends_sessions(ending):
        yield (
            "sessions of removed users can't be ended, and stay at work until they disconnect; to allow it: "
            f"GRANT PROCESS, {ending} ON *.* TO {account(*admin)};"
        )
    if fine_unseen:
        statements = " ".join(f"GRANT SELECT ON mysql.{table} TO {account(*admin)};" for table in FINE_TABLES)
        yield f"grants on single tables and routines can't be seen; to see them: {statements}"


def of_neighbours(
    state: State, accounts: Sequence[Account], mandatory: Sequence[Key], renewed: Collection[str]
) -> Iterator[str]:
    """Ways into databases, and older passwords that still log in, but for those of users who get a new one."""
    ours = [found for found in accounts if state.ownership.is_ours(found)]
    yield from ways_in.told(ours, state.every.edges, state.grants, state.owners(), state.rules, mandatory)
    for role in mandatory:
        if role in state.every.powerful:
            yield (
                f"everybody has the role {role[0]}, which holds global privileges; to take it out of mandatory_roles: "
                f"{ways_in.without_role(mandatory, role)}"
            )
    for found in ours:
        if found.second_password and found.lock is Lock.OPEN and found.name not in renewed:
            yield f"an older password of {found} still logs in: ALTER USER {account(*found.key)} DISCARD OLD PASSWORD;"
    for found in accounts:
        if not found.name:
            yield (
                f"the anonymous account {found} takes logins from {found.host} away from the roster's users; drop it: "
                f"DROP USER {account(*found.key)};"
            )
