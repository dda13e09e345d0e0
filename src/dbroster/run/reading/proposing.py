"""`dbroster import`: a look at a server that others made, and what of it a roster could take over; changes nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from dbroster.engines.base import Handler
from dbroster.model.roster import USERS_FILE, Roster
from dbroster.model.state import Actual
from dbroster.passwords.generated import generated
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret
from dbroster.plan.diff import Differ
from dbroster.plan.proposal import Proposal, Survey
from dbroster.roster.parse import parse_users
from dbroster.roster.validation import validate
from dbroster.run.server_run import ServerRun

_NO_PASSWORD = "no new password meets all rules of connections.yaml and the server"  # noqa: S105 - a text for people
_NOTHING_REMOVED = ("dbroster import looks at new users only",)


class Proposed(NamedTuple):
    """What was found: the server, the proposal, a new password for each user of it, and what the admin lacks for it."""

    product: str
    host: str
    proposal: Proposal
    passwords: Mapping[str, Secret]
    lacking: Sequence[str]


class Proposing(ServerRun):
    """A look at one server; `templates`: only these are proposed, if any are named."""

    def __init__(self, *given: Any, templates: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*given, **more)
        self.templates = templates
        self._passwords: dict[str, Secret] = {}

    def run(self) -> Proposed:
        """Read the server and propose. Raises ServerError."""
        with ExitStack() as stack:
            handler = self.reach(stack)
            actual = Actual(handler.get_existing_users(), handler.get_existing_databases())
            holdings = handler.holdings(actual.databases)
            survey = Survey(actual, holdings, handler.fold_database, self.connection.protected)
            proposal = self._sound(survey, actual, handler)
            lacking = handler.missing_privileges(tuple(proposal.templates)) if proposal.fits else []
            passwords = {fit.name: self._passwords[fit.name] for fit in proposal.fits}
            return Proposed(*handler.server(), proposal, passwords, lacking)

    def _sound(self, survey: Survey, actual: Actual, handler: Handler) -> Proposal:
        """Propose without those whom a sync of the proposal would refuse; who is left out may change the templates."""
        rules = [self.connection.rules, *handler.password_rules()]
        out: dict[str, str] = {}
        while True:
            proposal = survey.propose(out, self.templates)
            refused: defaultdict[str, list[str]] = defaultdict(list)
            for name, reason in self._judged(proposal, rules, survey, actual, handler):
                refused[name].append(reason)
            if not refused:
                return proposal
            out |= {name: "\n".join(dict.fromkeys(reasons)) for name, reasons in refused.items()}

    def _judged(
        self, proposal: Proposal, rules: Sequence[PasswordRules], survey: Survey, actual: Actual, handler: Handler
    ) -> Iterator[tuple[str, str]]:
        """Tell who has to be left out, with every reason."""
        without = list(self._without_password(proposal, rules))
        yield from without or self._refused(proposal, survey, actual, handler)

    def _without_password(self, proposal: Proposal, rules: Sequence[PasswordRules]) -> Iterator[tuple[str, str]]:
        """Make the passwords that are not made yet, and tell for whom there can be none."""
        for name in (fit.name for fit in proposal.fits if fit.name not in self._passwords):
            try:
                self._passwords[name] = Secret(generated(name, rules))
            except ValueError:
                yield name, _NO_PASSWORD

    def _refused(
        self, proposal: Proposal, survey: Survey, actual: Actual, handler: Handler
    ) -> Iterator[tuple[str, str]]:
        """Judge the proposal as a sync will: lines, names, passwords, conflicts, and what the server must refuse."""
        lines = users_text({fit.name: self._passwords[fit.name] for fit in proposal.fits}).encode()
        roster = parse_users(lines)._replace(templates=tuple(proposal.templates), suspended=_NOTHING_REMOVED)
        roster = validate(roster, self.connection, handler)
        yield from ((problem.user, problem.text) for problem in roster.problems if problem.user and not problem.warning)
        yield from (stray := dict(_stray(roster, survey))).items()
        roster = roster.without(stray.keys(), ())
        plan = Differ(
            roster, actual, frozenset(roster.users), self.connection.protected, handler.fold_database,
            own=self.connection.roster, drop_words=handler.drop_words,
        ).plan()  # fmt: skip
        yield from ((user, text.partition(f" ({USERS_FILE} line ")[0]) for user, text in plan.conflicts)
        yield from ((plan.actions[place].user, reason) for place, reason in self.refused(handler, plan).items())


def users_text(passwords: Mapping[str, Secret]) -> str:
    """Return lines of users.txt."""
    return "".join(f"{name}:{password.reveal()}\n" for name, password in passwords.items())


def _stray(roster: Roster, survey: Survey) -> Iterator[tuple[str, str]]:
    """Tell whose wanted databases are there, but somebody else's: adoption would take them."""
    for user in roster.users:
        for database in roster.databases(user):
            if reason := survey.stray(database):
                yield user, f"a sync would take over the database {database}, but {reason}"
