"""Many passwords that change at once look like a wrong file, or a column that has slipped; a pure judgement."""

from collections import Counter
from collections.abc import Iterator

from dbroster.model.plan import Plan, Verb
from dbroster.model.problems import Problem

FEWEST = 3
"""Fewer changes say nothing, however many users there are."""


def mass_changes(plan: Plan) -> Iterator[Problem]:
    """Warn when most accounts would get another password, or several the same one; nothing of it is shown."""
    changed = [action for action in plan.of(Verb.UPDATE_PASSWORD) if action.password]
    if len(changed) >= FEWEST and 2 * len(changed) > plan.managed_users:
        text = f"{len(changed)} of {plan.managed_users} accounts get another password"
        yield Problem(f"{text}: is users.txt the right file, and each password in its own line?", warning=True)
    same = [count for count in Counter(a.password.bytes() for a in changed if a.password).values() if count > 1]
    if same:
        text = f"{sum(same)} of the {len(changed)} new passwords are shared: whoever knows one can log in as another"
        yield Problem(text, warning=True)
