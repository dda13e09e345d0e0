"""Keys of connections.yaml: typed values, and a problem with line and key for each that is wrong."""

from typing import Any, TypeVar

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbroster.config.yaml_lines import find_lines
from dbroster.model.problems import Problem
from dbroster.settings.keys import Choice, Flag, Key, Label, Needed, Number, Text, Texts, Words
from dbroster.settings.section import ConfigSection, sendable

T = TypeVar("T")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NUMBER = Number(7, 1, 9, "")
MODE = Choice("disable", ("disable", "require"), "")


def section(data: object) -> tuple[ConfigSection, list[Problem]]:
    problems: list[Problem] = []
    return ConfigSection(data, {}, problems, "connections.yaml", ("mysql",)), problems


def texts(problems: list[Problem]) -> list[str]:
    return [problem.text for problem in problems]


def read(key: Key[T], value: object) -> tuple[T, list[str]]:
    """What a key called `x` makes of a value, and everything that is wrong with that."""
    key.name = "x"
    part, problems = section({"x": value})
    return key.read(part), texts(problems)


def test_lines_of_keys_and_of_list_items() -> None:
    lines, repeated = find_lines(yaml.compose("a: 1\nb:\n  c: 2\n  d:\n  - x\n  - y: 3\n", Loader=yaml.SafeLoader))
    assert lines == {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "d"): 4, ("b", "d", 0): 5, ("b", "d", 1): 6,
                     ("b", "d", 1, "y"): 6}  # fmt: skip
    assert repeated == []


def test_keys_that_stand_twice() -> None:
    _, repeated = find_lines(yaml.compose("a: 1\nb:\n  c: 2\n  c: 2\na: 1\n", Loader=yaml.SafeLoader))
    assert repeated == [(("b", "c"), 4), (("a",), 5)]


@pytest.mark.timeout(10)
def test_aliases_cost_nothing() -> None:
    bomb = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n" for n in range(1, 60))
    lines, repeated = find_lines(yaml.compose(bomb + "me: &me {me: *me}\n", Loader=yaml.SafeLoader))
    assert len(lines) < 300
    assert repeated == []


def test_a_problem_says_where() -> None:
    problems: list[Problem] = []
    part = ConfigSection({"port": "x"}, {("mysql",): 3, ("mysql", "x"): 5}, problems, "connections.yaml", ("mysql",))
    part.problem("x", "expected a number")
    part.problem("host", "must be set")
    assert [(p.text, p.file, p.line) for p in problems] == [
        ("mysql.x: expected a number", "connections.yaml", 5),
        ("mysql.host: must be set", "connections.yaml", 3),
    ]


# --- texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "text"), [("${A}-${A}", "1$-1$"), ("$A ${} ${A", "$A ${} ${A"), ("${EMPTY}", ""), ("${B}", "${A}")]
)
def test_references_to_the_environment_are_expanded_once(
    written: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"A": "1$", "B": "${A}", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)
    assert read(Text("default", ""), written) == (text, [])


def test_a_reference_to_nothing_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    _, problems = read(Text("", ""), "a${NOWHERE}")
    assert problems == ["mysql.x: the environment variable NOWHERE is not set"]


def test_what_is_needed() -> None:
    assert read(Needed(""), None) == ("", ["mysql.x: must be set"])


@pytest.mark.parametrize("value", [1, True, 1.5, [], {}, ["a"]])
def test_what_is_no_text(value: object) -> None:
    assert read(Text("default", ""), value) == ("default", ["mysql.x: expected text; put it in quotes"])


@pytest.mark.parametrize("value", ["a\0b", "x\ud800"])
def test_texts_that_no_server_can_be_sent(value: str) -> None:
    assert not sendable(value)
    assert read(Text("default", ""), value) == ("default", ["mysql.x: contains a character that can't be sent"])
    assert read(Texts(("default",), ""), [value]) == (("default",), ["mysql.x: expected a list of texts"])


@pytest.mark.parametrize("value", ["", "-a", "a b", "é", "a" * 33])
def test_what_is_no_label(value: str) -> None:
    assert read(Label("default", ""), value) == ("default", ["mysql.x: expected up to 32 letters, digits, _ and -"])


# --- numbers, flags, choices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "number"), [(1, 1), (9, 9), ("5", 5), ("${FIVE}", 5), (None, 7)])
def test_whole_numbers(value: object, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVE", "5")
    assert read(NUMBER, value) == (number, [])


@pytest.mark.parametrize("value", [0, 10, -1, 1.0, True, "x", "", "5 ", "５", "1e3", "9" * 5000, [], {}, float("nan")])
def test_what_is_no_number_in_the_range(value: object) -> None:
    assert read(NUMBER, value) == (7, ["mysql.x: expected a whole number from 1 to 9"])


@pytest.mark.parametrize(("value", "flag"), [(True, True), (False, False), (None, True)])
def test_flags(value: object, flag: bool) -> None:
    assert read(Flag(True, ""), value) == (flag, [])


@pytest.mark.parametrize("value", ["yes", 1])
def test_what_is_no_flag(value: object) -> None:
    assert read(Flag(True, ""), value) == (True, ["mysql.x: expected true or false"])


def test_choices() -> None:
    assert read(MODE, "require") == ("require", [])
    assert read(MODE, "requre") == (
        "disable",
        ["mysql.x: expected one of disable, require; did you mean 'require'?"],
    )


def test_lists() -> None:
    assert read(Texts((), ""), ["a", "b"]) == (("a", "b"), [])
    assert read(Texts((), ""), []) == ((), [])
    assert read(Texts(("d",), ""), None) == (("d",), [])
    assert read(Texts(("d",), ""), []) == (("d",), ["mysql.x: must not be empty"])


@pytest.mark.parametrize("value", ["a", {"a": 1}, [1], [""], [None], [["a"]], 5])
def test_what_is_no_list_of_texts(value: object) -> None:
    assert read(Texts(("d",), ""), value) == (("d",), ["mysql.x: expected a list of texts"])


def test_words() -> None:
    words = Words(("SELECT",), ("SELECT", "DELETE"), "")
    assert read(words, ["select", "DELTE"]) == (
        ("SELECT", "DELTE"),
        ["mysql.x: unknown: DELTE; did you mean 'DELETE'?"],
    )


def test_unknown_keys() -> None:
    part, problems = section({"host": "h", "hots": "h", 5: "x"})
    assert part.text("host") == "h"
    part.finish()
    assert texts(problems) == ["mysql.hots: unknown key; did you mean 'host'?", "mysql.5: unknown key"]


@pytest.mark.parametrize("data", [5, "x", [], [{}], True])
def test_a_section_that_is_none(data: object) -> None:
    part, problems = section(data)
    assert part.data == {}
    assert texts(problems) == ["mysql: expected keys and values here"]


@given(VALUES)
def test_any_value_gives_the_type_asked_for(value: Any) -> None:
    keys: tuple[Key[Any], ...] = (Text("d", ""), NUMBER, Flag(True, ""))
    for key in keys:
        assert type(read(key, value)[0]) is type(key.default)
    assert read(MODE, value)[0] in MODE.known
    assert all(isinstance(text, str) for text in read(Texts((), ""), value)[0])
    assert isinstance(section({"x": value})[0].part("x").data, dict)
