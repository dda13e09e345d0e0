"""What a server that others made could become: templates, and users who fit them. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from dbroster.model.names import NAME_RULE, is_name, system_account
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Holdings, Lock

SHARED_BY = 2
"""So many accounts must have a database of a template, at least, for it to be proposed."""

_RENAME = "rename it on the server, or leave it as it is"


class Misfit(NamedTuple):
    """What is not proposed, and why."""

    kind: str
    name: str
    reason: str


class Fit(NamedTuple):
    """A user who is proposed: databases that are there, and those that a sync would create."""

    name: str
    there: tuple[str, ...]
    missing: tuple[str, ...]


class Proposal(NamedTuple):
    """What a roster could take over. `templates`: each with how many of the users have a database of it.

    `ours`: accounts that our roster has already. `system_accounts`, `protected`: how many accounts and databases are
    left out without a word, since nobody can do anything about them.
    """

    templates: Mapping[str, int]
    fits: tuple[Fit, ...]
    misfits: tuple[Misfit, ...]
    ours: tuple[str, ...]
    system_accounts: int
    protected: int


class Survey:
    """Whose each database is, by its name and by who has privileges on it.

    `fold`: what database names that the server takes for the same have in common. `protected`: names that are never
    touched.
    """

    def __init__(
        self, actual: Actual, holdings: Holdings, fold: Callable[[str], str] = str, protected: Collection[str] = ()
    ) -> None:
        self._actual, self._holdings, self._fold, self._protected = actual, holdings, fold, protected
        self._names = {fold(name): name for name in actual.users}
        self._unfit = {
            **{name: reason for name, found in actual.users.items() if (reason := self._account(found))},
            **{name: reason for name, reason in holdings.unfit.items() if name not in actual.users},
        }

    def propose(self, out: Mapping[str, str], wanted: Sequence[str] = ()) -> Proposal:
        """Propose templates and users, but those who are `out`, each for a reason; `wanted`: these templates only."""
        people = {user: found for user, found in sorted(self._owned.items()) if user not in out}
        counts = Counter(template for found in people.values() for template in found)
        common = [name for name, _ in sorted(counts.items(), key=_most_first) if self._shared[name] >= SHARED_BY]
        templates = {name: counts[name] for name in wanted or common}
        fits = [_fit(user, found, templates) for user, found in people.items() if templates.keys() & found.keys()]
        rare = {user: found for user, found in people.items() if not templates.keys() & found.keys()}
        accounts = {**self._alone(rare), **self._unfit, **out}
        databases = {**self._strays, **_rare(people, templates)}
        return Proposal(
            templates,
            tuple(fits),
            (*_misfits("account", accounts), *_misfits("database", databases)),
            tuple(sorted(name for name, found in self._actual.users.items() if found.managed)),
            sum(map(system_account, self._actual.users)),
            sum(self._left_out(found) for found in self._actual.databases.values()),
        )

    def stray(self, database: str) -> str | None:
        """Say why a database of this name, if there is one, is not its user's to be taken over."""
        return self._stray_names.get(self._fold(database))

    # --- accounts ---------------------------------------------------------------------------------------------------

    def _account(self, found: ExistingUser) -> str | None:
        """Say why an account is not proposed, whatever its databases are."""
        if found.managed or system_account(found.name):
            return None
        if found.protected:
            return found.protected
        if found.roster is not None:
            return f"it belongs to the roster {found.roster!r}"
        if found.lock is not Lock.OPEN:
            return "nobody can log in to it: it is locked, or a group and no person; open it to take it over"
        if not is_name(found.name):
            return f"not a user name ({NAME_RULE}): {_RENAME}"
        return found.unusable or self._holdings.unfit.get(found.name)

    def _alone(self, rare: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Say of accounts that could be managed why they are not proposed: none of their databases fits."""
        return {
            name: "no template names one of its databases"
            if name in rare
            else f"it has no database whose name begins with {name}_, so it may be no person's; a sync leaves it alone"
            for name in self._actual.users
            if self._could_be(name) and (name in rare or name not in self._owned)
        }

    def _could_be(self, name: str) -> bool:
        return name not in self._unfit and not self._actual.users[name].managed and not system_account(name)

    # --- databases --------------------------------------------------------------------------------------------------

    @cached_property
    def _judged(self) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """Return each user's databases by template, and why others are nobody's."""
        owned: defaultdict[str, dict[str, str]] = defaultdict(dict)
        strays = {}
        for name, found in sorted(self._actual.databases.items()):
            if found.owner is not None or self._left_out(found):
                continue
            user, why = self._whose(name)
            if not found.usable:
                why = "an interrupted drop has left it unusable: drop it"
            if user and not why:
                owned[user][name[len(user) + 1 :]] = name
            else:
                strays[name] = why
        return owned, strays

    @property
    def _owned(self) -> Mapping[str, Mapping[str, str]]:
        return self._judged[0]

    @cached_property
    def _shared(self) -> Counter[str]:
        """How many accounts have a database of each ending, be they proposed or not: who is out changes no template."""
        return Counter(template for found in self._owned.values() for template in found)

    @property
    def _strays(self) -> Mapping[str, str]:
        return self._judged[1]

    @cached_property
    def _stray_names(self) -> Mapping[str, str]:
        return {self._fold(name): why for name, why in self._strays.items()}

    def _left_out(self, found: ExistingDatabase) -> bool:
        return bool(found.protected) or found.name in self._protected

    def _whose(self, name: str) -> tuple[str | None, str]:
        """Return whose a database is, or why it is nobody's."""
        holders = self._holdings.holders.get(self._fold(name), frozenset())
        begun = list(self._beginning(self._fold(name)))
        theirs = [user for user in begun if user in holders]
        has = f"privileges on it: {', '.join(sorted(holders)) or 'no account that could be managed'}"
        if not begun:
            return None, f"its name does not begin with the name of an account and _ ({has}): {_RENAME}"
        if len(theirs) > 1:
            return None, f"it could be a database of {' or of '.join(theirs)}: take it from one of them, or {_RENAME}"
        if not theirs:
            owner = begun[-1]
            return (
                None,
                f"by its name it belongs to {owner}, who does not have it ({has}): give it to {owner}, or {_RENAME}",
            )
        (user,) = theirs
        if not self._could_be(user):
            return None, f"its account {user} is not proposed"
        if not is_name(name[len(user) + 1 :]):
            return None, f"what follows {user}_ is no name of a template ({NAME_RULE}): {_RENAME}"
        return user, ""

    def _beginning(self, folded: str) -> Iterator[str]:
        """Return the accounts whose name, with `_` behind it, begins a database's name; the shortest first."""
        places = (place for place, letter in enumerate(folded) if letter == "_" and place + 1 < len(folded))
        yield from filter(None, (self._names.get(folded[:place]) for place in places))


def _most_first(count: tuple[str, int]) -> tuple[int, str]:
    return -count[1], count[0]


def _fit(user: str, found: Mapping[str, str], templates: Collection[str]) -> Fit:
    there = tuple(found[template] for template in templates if template in found)
    return Fit(user, there, tuple(f"{user}_{template}" for template in templates if template not in found))


def _rare(people: Mapping[str, Mapping[str, str]], templates: Collection[str]) -> dict[str, str]:
    """Say which databases no template names."""
    return {
        name: f"no template is {template}: it is proposed if at least {SHARED_BY} accounts have one, or with --template"
        for found in people.values()
        for template, name in found.items()
        if template not in templates
    }


def _misfits(kind: str, reasons: Mapping[str, str]) -> Iterator[Misfit]:
    return (Misfit(kind, name, reason) for name, reason in sorted(reasons.items()))
