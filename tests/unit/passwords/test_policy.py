"""Password rules: each rule alone, at its border, and in words that never contain the password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.passwords.policy import PasswordRules, complaints, unprintable
from dbroster.passwords.secret import Secret

FREE = PasswordRules(min_length=0, classes=0, forbid_user_name=False)


def broken(password: str, user: str = "bob", rules: PasswordRules = FREE) -> list[str]:
    return complaints(Secret(password), user, rules)


def test_a_good_password() -> None:
    assert broken("Correct-horse-7", rules=PasswordRules()) == []


@pytest.mark.parametrize(("length", "count"), [(11, 1), (12, 0), (13, 0)])
def test_length_counts_characters(length: int, count: int) -> None:
    found = broken("ä" * length, rules=PasswordRules(min_length=12, classes=0))
    assert len(found) == count
    assert all(f"{length} characters, at least 12" in text for text in found)


@pytest.mark.parametrize(
    ("password", "classes"), [("abc", 1), ("abC", 2), ("ab1", 2), ("aB1", 3), ("aB1-", 4), ("äÖ1 ", 4), ("日本", 1)]
)
def test_classes_of_characters(password: str, classes: int) -> None:
    assert broken(password, rules=PasswordRules(min_length=0, classes=classes)) == []
    assert len(broken(password, rules=PasswordRules(min_length=0, classes=classes + 1))) == 1


@pytest.mark.parametrize("kind", ["lower", "upper", "digits", "others"])
def test_counts_that_a_server_asks_for(kind: str) -> None:
    rules = PasswordRules(0, 0, forbid_user_name=False, source="validate_password", **{kind: 2})  # type: ignore[arg-type]
    assert broken("aaBB11--", rules=rules) == []
    (found,) = broken("aB1-", rules=rules)
    assert "at least 2 are asked for (validate_password)" in found


@pytest.mark.parametrize(
    ("user", "password", "refused"),
    [
        ("robert", "xx-ROBERT-xx", True),
        ("robert", "xx-rob-ert", False),
        ("bob", "bobcats-are-7", False),  # so short a name occurs by chance
        ("bob", "BoB", True),
        ("anna", "xannax", True),
    ],
)
def test_the_user_name_in_the_password(user: str, password: str, refused: bool) -> None:
    rules = PasswordRules(min_length=0, classes=0)
    assert bool(broken(password, user, rules)) is refused
    assert broken(password, user, FREE) == []


def test_forbidden_words_in_any_case() -> None:
    rules = PasswordRules(0, 0, forbid_user_name=False, forbidden=("Acme", "Straße"))
    for password in ("x-aCME-7", "STRASSE"):
        (found,) = broken(password, rules=rules)
        assert "`forbidden`" in found
    assert broken("acm-e", rules=rules) == []


def test_every_broken_rule_is_told() -> None:
    assert len(broken("anna", "anna", PasswordRules(forbidden=("nn",)))) == 4


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_judging_never_raises_and_never_quotes(password: str, user: str) -> None:
    rules = PasswordRules(40, 4, lower=9, upper=9, digits=9, others=9, forbidden=("x",))
    found = broken(password, user, rules)
    if len(password) > 3 and password not in " ".join(broken("", "", rules)):
        assert all(password not in text for text in found)


@pytest.mark.parametrize(("char", "name"), [("\0", "U+0000"), ("\r", "U+000D"), ("\n", "U+000A")])
def test_what_no_client_can_send(char: str, name: str) -> None:
    text = unprintable(Secret(f"secret{char}secret"))
    assert text is not None
    assert name in text
    assert "secret" not in text


@pytest.mark.parametrize("password", ["plain", "with space", "tab\there", "pä😀", "'\"\\`;--", "\x7f\x1b"])
def test_what_clients_can_send(password: str) -> None:
    assert unprintable(Secret(password)) is None
