"""What dbroster asks of an engine for archives: `Archiver`, made by a handler for its own session."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from dbroster.engines.waits import end_all
from dbroster.model.connection import Connection
from dbroster.model.roster import User

if TYPE_CHECKING:
    from dbroster.archive import Archive, Draft  # archives are seldom made, and every import takes its time


class Archiver(ABC):
    """Writes one database into a draft, as the admin, and reads it back, as the user whose it is.

    What an archive holds was written by its user, so bringing it back must never run with the admin's power.
    """

    extension: ClassVar[str]
    """How the names of this engine's archives end."""

    method: ClassVar[str]
    """How they are made, for the manifest."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.note: str | None = None
        """What has to be known of the archive that was made."""

    def abort(self) -> None:
        """End what an archive or a restore of this server waits for; called from another thread, never blocks."""
        end_all(self.connection)

    def missing(self) -> list[str]:
        """Say what must be installed or granted before a database can be archived; empty when nothing is missing."""
        return []

    def losses(self, database: str) -> Iterable[str]:  # noqa: ARG002 - for engines to override
        """Say what an archive of a database would not hold. Raises OperationError where nobody can look now."""
        return ()

    @abstractmethod
    def close(self, user: str, database: str) -> None:
        """Keep everybody out of a database that is proven to be this user's, as far as the engine can.

        What is closed here is opened again by `grant_privileges`, and still known as the user's.
        """

    @abstractmethod
    def dump(self, user: str, database: str, draft: "Draft") -> None:
        """Write the database into the draft and make sure that all is there. Raises OperationError or OSError."""

    def obstacle(self, needs: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - for engines to override
        """Say why this server can't take an archive with these settings, and what to do; asked after a dump, too."""
        return None

    @abstractmethod
    def is_empty(self, user: User, database: str) -> bool:
        """Whether there is nothing in a database, as its user sees it."""

    @abstractmethod
    def restore(self, archive: "Archive", user: User, database: str) -> None:
        """Bring an archive back into an empty database, logged in as its user. Raises OperationError."""
