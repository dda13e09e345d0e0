"""`dbroster status`: how every user stands on one server, and what a sync would do; no lock, and nothing is written."""

from collections.abc import Collection, Sequence
from typing import Any

from dbroster.engines.base import Handler
from dbroster.errors import OperationError
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.model.standing import Standing
from dbroster.plan.standings import Standings, judged
from dbroster.run.sync import Sync


class Look(Sync):
    """A dry run that tells of the users: of those that are `asked` for, if any are; if wanted with databases' sizes."""

    def __init__(self, *given: Any, asked: Collection[str] = (), sizes: bool = False, **more: Any) -> None:
        super().__init__(*given, **more)
        self.asked, self.sizes = asked, sizes

    def serve(self, result: Result, handler: Handler) -> Result:
        """Make the plan, and then a row for each user."""
        result = super().serve(result, handler)
        if self.seen is None:
            return result
        roster, actual, left = self.seen
        view = Standings(
            roster, actual, left.of_users(), self.grace(handler), handler.fold_database, self.connection.roster
        )
        rows = judged(view.rows(self.asked), actual, result)
        result = result._replace(rows=tuple(rows))
        return self._measured(result, rows, handler) if self.sizes else result

    def _measured(self, result: Result, rows: Sequence[Standing], handler: Handler) -> Result:
        """Add how large the databases are, where the server tells it."""
        names = {name for row in rows for name in row.databases.found}
        try:
            with self.stage("sizes"):
                sizes = handler.database_sizes(names)
        except OperationError as error:
            problem = Problem(f"how large the databases are can't be read: {error}", warning=True)
            return result._replace(problems=(*result.problems, problem))
        return result._replace(rows=tuple(row._replace(sizes=sizes) for row in rows))
