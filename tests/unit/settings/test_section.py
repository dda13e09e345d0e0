"""One mapping of connections.yaml: typed values, and a problem with line and key for each that is wrong."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbroster.config.yaml_lines import find_lines
from dbroster.model.problems import Problem
from dbroster.settings.keys import Part, Words
from dbroster.settings.section import Section, sendable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def section(data: object) -> tuple[Section, list[Problem]]:
    problems: list[Problem] = []
    return Section(data, {}, problems, "connections.yaml", ("mysql",)), problems


def texts(problems: list[Problem]) -> list[str]:
    return [problem.text for problem in problems]


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
    part = Section({"port": "x"}, {("mysql",): 3, ("mysql", "port"): 5}, problems, "connections.yaml", ("mysql",))
    part.integer("port", 1, 1, 9)
    part.text("host")
    assert [(p.text, p.file, p.line) for p in problems] == [
        ("mysql.port: expected a whole number from 1 to 9", "connections.yaml", 5),
        ("mysql.host: must be set", "connections.yaml", 3),
    ]


# --- texts ----------------------------------------------------------------------------------------------------------


def test_references_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "1$")
    monkeypatch.setenv("EMPTY", "")
    part, problems = section({"x": "${A}-${A}", "y": "$A ${} ${A", "z": "${EMPTY}"})
    assert [part.text(key) for key in "xyz"] == ["1$-1$", "$A ${} ${A", ""]
    assert problems == []


def test_a_reference_to_nothing_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    part, problems = section({"x": "a${NOWHERE}"})
    part.text("x")
    assert texts(problems) == ["mysql.x: the environment variable NOWHERE is not set"]


def test_a_reference_is_not_expanded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "${B}")
    part, problems = section({"x": "${A}"})
    assert part.text("x") == "${B}"
    assert problems == []


@pytest.mark.parametrize("value", [1, True, 1.5, [], {}, ["a"]])
def test_what_is_no_text(value: object) -> None:
    part, problems = section({"x": value})
    assert part.text("x", "default") == "default"
    assert texts(problems) == ["mysql.x: expected text; put it in quotes"]


@pytest.mark.parametrize("value", ["a\0b", "x\ud800"])
def test_texts_that_no_server_can_be_sent(value: str) -> None:
    assert not sendable(value)
    part, problems = section({"x": value, "list": [value]})
    assert part.text("x", "default") == "default"
    assert part.texts("list", ("default",)) == ("default",)
    assert len(problems) == 2


# --- numbers, flags, choices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 9, "5", "${FIVE}"])
def test_whole_numbers(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVE", "5")
    part, problems = section({"x": value})
    assert 1 <= part.integer("x", 0, 1, 9) <= 9
    assert problems == []


@pytest.mark.parametrize("value", [0, 10, -1, 1.0, True, "x", "", "5 ", "５", "1e3", "9" * 5000, [], {}, float("nan")])
def test_what_is_no_number_in_the_range(value: object) -> None:
    part, problems = section({"x": value})
    assert part.integer("x", 7, 1, 9) == 7
    assert texts(problems) == ["mysql.x: expected a whole number from 1 to 9"]


def test_flags() -> None:
    part, problems = section({"yes": True, "no": False, "text": "yes", "number": 1})
    assert [part.flag(key, default=True) for key in ("yes", "no", "absent")] == [True, False, True]
    assert problems == []
    assert [part.flag(key, default=True) for key in ("text", "number")] == [True, True]
    assert len(problems) == 2


def test_choices() -> None:
    part, problems = section({"mode": "requre"})
    assert part.choice("mode", "disable", ("disable", "require")) == "disable"
    assert texts(problems) == ["mysql.mode: expected one of disable, require; did you mean 'require'?"]


def test_lists() -> None:
    part, problems = section({"good": ["a", "b"], "empty": [], "none": None})
    assert part.texts("good", ()) == ("a", "b")
    assert part.texts("empty", ()) == ()
    assert part.texts("none", ("x",)) == ("x",)
    assert problems == []


def test_a_list_with_a_default_must_not_be_empty() -> None:
    part, problems = section({"hosts": []})
    assert part.texts("hosts", ("%",)) == ("%",)
    assert texts(problems) == ["mysql.hosts: must not be empty"]


@pytest.mark.parametrize("value", ["a", {"a": 1}, [1], [""], [None], [["a"]], 5])
def test_what_is_no_list_of_texts(value: object) -> None:
    part, problems = section({"x": value})
    assert part.texts("x", ("d",)) == ("d",)
    assert texts(problems) == ["mysql.x: expected a list of texts"]


def test_words() -> None:
    part, problems = section({"privileges": ["select", "DELTE"]})

    class Keys(Part):
        privileges = Words(("SELECT",), ("SELECT", "DELETE"), "")

    assert Keys.privileges.read(part) == ("SELECT", "DELTE")
    assert texts(problems) == ["mysql.privileges: unknown: DELTE; did you mean 'DELETE'?"]


def test_unknown_keys() -> None:
    part, problems = section({"host": "h", "hots": "h", 5: "x"})
    part.text("host")
    part.finish()
    assert texts(problems) == ["mysql.hots: unknown key; did you mean 'host'?", "mysql.5: unknown key"]


@pytest.mark.parametrize("data", [5, "x", [], [{}], True])
def test_a_section_that_is_none(data: object) -> None:
    part, problems = section(data)
    assert part.data == {}
    assert texts(problems) == ["mysql: expected keys and values here"]


@given(VALUES)
def test_any_value_gives_the_type_asked_for(value: Any) -> None:
    part, _ = section({"x": value})
    assert isinstance(part.text("x", "d"), str)
    assert isinstance(part.integer("x", 1, 0, 9), int)
    assert isinstance(part.flag("x", default=True), bool)
    assert part.choice("x", "a", ("a", "b")) in ("a", "b")
    assert all(isinstance(text, str) for text in part.texts("x", ()))
    assert isinstance(part.part("x").data, dict)
