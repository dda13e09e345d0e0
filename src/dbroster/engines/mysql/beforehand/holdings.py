"""Who has what on a server that others made: accounts at any host, and all grants on databases."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from dbroster.engines.mysql.access.accounts import Account, Ownership
from dbroster.engines.mysql.access.admin_privileges import Held
from dbroster.engines.mysql.access.grants import reaches
from dbroster.engines.mysql.state import State
from dbroster.errors import PrivilegeError
from dbroster.model.state import Holdings

_SEEING = "SHOW DATABASES"


def holdings(state: State, databases: Collection[str], held: Held, admin: str) -> Holdings:
    """Return who has privileges on which databases. Raises PrivilegeError for an admin who may not see them all."""
    if not held.has(_SEEING):
        raise PrivilegeError([f"GRANT {_SEEING} ON *.* TO {admin};"])
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for grant in state.grants:
        holders[state.rules.fold(state.rules.plain(grant.pattern))].add(grant.user)
        if "%" in grant.pattern and not state.rules.is_exact(grant):
            for name in databases:
                if reaches(state.rules.fold(grant.pattern), state.rules.fold(name)):
                    holders[state.rules.fold(name)].add(grant.user)
    return Holdings(holders, dict(_unfit(state.every_account(), state.ownership)))


def _unfit(accounts: Sequence[Account], ownership: Ownership) -> Iterator[tuple[str, str]]:
    """Say which accounts are at hosts that are not configured, and which users have such a one besides."""
    near = {account.name for account in accounts if ownership.concerns(account)}
    hosts = ", ".join(ownership.hosts)
    for account in accounts:
        if account.name and not (ownership.concerns(account) or ownership.protection(account.name) or account.powers):
            where = f"`hosts` of connections.yaml ({hosts}) does not list {account.host}"
            both = f"{account} would stay as it is, and the server may prefer it: drop it, or list its host"
            if account.name in near:
                yield account.name, f"{where}: {both}"
            else:
                yield str(account), f"{where}; list it there to take the account over, and import again"
