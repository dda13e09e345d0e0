"""Who has what on a server that others made: roles on databases, and accounts of other authentication databases."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from dbroster.engines.mongodb.session import Session
from dbroster.engines.mongodb.state import SYSTEM_DATABASES, read_accounts
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.state import Holdings

_OUTSIDE = "$external"
"""Where accounts stand that log in by certificate, LDAP, Kerberos or IAM."""


def holdings(session: Session, connection: Connection, databases: Collection[str]) -> Holdings:
    """Return who has a role on which of these databases; of accounts elsewhere, as far as the admin may see them."""
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for name, account in read_accounts(session, connection, credentials=False).items():
        for _, database in account.roles:
            holders[database].add(name)
    return Holdings({name: holders[name] for name in databases if name in holders}, dict(_elsewhere(session)))


def _elsewhere(session: Session) -> Iterator[tuple[str, str]]:
    own = session.auth_database
    try:
        found = session.find_documents({"db": {"$ne": own}}, {"_id": 0, "user": 1, "db": 1})
    except OperationError:
        return
    for document in found:
        user, database = document["user"], document["db"]
        if database == _OUTSIDE:
            reason = "it logs in by something else than a password"
        elif database in SYSTEM_DATABASES:
            reason = f"it is defined in {database}"
        else:
            reason = (
                f"it is defined in {database}, and dbroster manages accounts of {own} only (auth_database): drop it "
                f"there, and let a sync create {user}, whose clients then need authSource={own}"
            )
        yield f"{user}@{database}", reason
