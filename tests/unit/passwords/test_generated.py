"""Generated passwords: by every rule that can be met, without look-alikes, and chosen by nothing but chance."""

import math
import string

import pytest

from dbroster.passwords.generated import generated
from dbroster.passwords.policy import PasswordRules, complaints
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.saslprep import saslprep

RULES = [
    PasswordRules(),
    PasswordRules(min_length=1024, classes=4),
    PasswordRules(0, 0, lower=20, upper=30, digits=12, others=9, source="validate_password"),
    PasswordRules(forbidden=("-", "7", "Q")),
    PasswordRules(forbidden=("-", "_")),
]


@pytest.mark.parametrize("rules", RULES)
def test_it_meets_the_rules(rules: PasswordRules) -> None:
    for _ in range(20):
        assert complaints(Secret(generated("bob", [rules])), "bob", rules) == []


def test_it_meets_all_rules_at_once() -> None:
    together = [*RULES[2:], PasswordRules(min_length=90, classes=4)]
    text = generated("bob", together)
    assert [complaints(Secret(text), "bob", rules) for rules in together] == [[]] * len(together)


def test_it_does_not_hold_the_name() -> None:
    """Three letters may occur by chance, so a name of four that does by the hundred would be seen."""
    rules = PasswordRules()
    assert not any("kkkk" in generated("kkkk", [rules]).casefold() for _ in range(100))


def test_it_can_be_read_aloud_and_needs_no_quotes() -> None:
    seen = set("".join(generated() for _ in range(300)))
    assert seen == {*string.ascii_letters, *string.digits, "-"} - {*"0O1lI"}


def test_nothing_prepares_it_to_something_else() -> None:
    text = generated()
    assert saslprep(text) == text


def test_each_of_its_letters_is_one_of_57() -> None:
    """25 of them are 145 bits. Were one seldom or often, 40,000 would show it."""
    letters = [letter for _ in range(1600) for letter in generated().replace("-", "")[:25]]
    counts = [letters.count(letter) for letter in {*letters}]
    expected = len(letters) / 57
    assert len(counts) == 57
    assert 25 * math.log2(57) > 145
    # 702 of each, give or take 26; a password has two of each kind at least, which makes digits a little more frequent
    assert all(abs(count - expected) < expected / 4 for count in counts)


def test_no_two_are_alike() -> None:
    assert len({generated() for _ in range(2000)}) == 2000


def test_rules_that_none_can_meet() -> None:
    for forbidden in (tuple(string.digits), ("-", "_", ".")):
        with pytest.raises(ValueError, match="meets all rules"):
            generated("bob", [PasswordRules(forbidden=forbidden)])
