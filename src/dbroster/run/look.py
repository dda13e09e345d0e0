"""`dbroster status`: how every user stands on one server, and what a sync would do; no lock, and nothing is written."""

from collections.abc import Collection
from typing import Any

from dbroster.engines.base import Handler
from dbroster.model.result import Result
from dbroster.plan.standings import Standings, judged
from dbroster.run.sync import Sync


class Look(Sync):
    """A dry run that tells of the users; of those that are `asked` for only, if there are any."""

    def __init__(self, *given: Any, asked: Collection[str] = (), **more: Any) -> None:
        super().__init__(*given, **more)
        self.asked = asked

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
        return result._replace(rows=tuple(rows))
