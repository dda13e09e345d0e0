"""Many passwords at once: warned of, and nothing of them is told."""

from collections.abc import Sequence

import pytest

from dbroster.model.plan import Action, Plan, Verb
from dbroster.passwords.secret import Secret
from dbroster.plan.mass_changes import mass_changes


def warnings(passwords: Sequence[str], managed: int = 10) -> list[str]:
    changes = tuple(Action(Verb.UPDATE_PASSWORD, f"u{n}", None, Secret(p)) for n, p in enumerate(passwords))
    found = list(mass_changes(Plan(changes, managed_users=managed)))
    assert all(problem.warning for problem in found)
    assert not [text for text in passwords for problem in found if text in problem.text]
    return [problem.text for problem in found]


@pytest.mark.parametrize(("number", "managed"), [(0, 0), (2, 2), (5, 10), (3, 100)])
def test_what_is_usual_is_no_warning(number: int, managed: int) -> None:
    assert warnings([f"Secret-{n}-word" for n in range(number)], managed) == []


def test_another_file_or_a_column_that_has_slipped() -> None:
    """A7: every password is another one."""
    (warning,) = warnings([f"Secret-{n}-word" for n in range(6)])
    assert warning.startswith("6 of 10 accounts get another password: is users.txt the right file")


def test_a_password_that_was_filled_down() -> None:
    """A7: several users get the same one."""
    (warning,) = warnings(["Same-secret-1", "Same-secret-1", "Other-secret-2"])
    assert warning.startswith("2 of the 3 new passwords are shared")
