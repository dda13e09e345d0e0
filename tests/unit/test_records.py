"""Cheap dataclasses behave as those of the standard library, which every test here is run with as well."""

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from dbroster import records


@records.dataclass(frozen=True, slots=True)
class Point:
    """One that can be pickled, since it is at the top of a module."""

    x: int
    y: int = 7


@pytest.fixture(params=[records, dataclasses], ids=["ours", "standard"])
def kind(request: pytest.FixtureRequest) -> Any:
    """Our module, or the standard library's."""
    return request.param


@pytest.fixture(params=[{"frozen": True, "slots": True}, {"frozen": True}, {"slots": True}, {}], ids=str)
def made(request: pytest.FixtureRequest, kind: Any) -> Any:
    """A class made by it, with these options."""

    @kind.dataclass(**request.param)
    class Thing:
        name: str
        parts: list[int] = kind.field(default_factory=list)
        hidden: int = kind.field(default=3, repr=False, compare=False)
        number: int = 5
        late: int | None = kind.field(default=None, init=False)
        shared: ClassVar[str] = "everywhere"

        def __post_init__(self) -> None:
            object.__setattr__(self, "late", self.number)

    thing: Any = Thing
    thing.frozen, thing.slotted = request.param.get("frozen", False), request.param.get("slots", False)
    return thing


def test_values_defaults_and_factories(made: Any) -> None:
    one, two = made("a"), made("b", [1], number=9)
    assert (one.name, one.parts, one.hidden, one.number, one.late, one.shared) == ("a", [], 3, 5, 5, "everywhere")
    assert (two.parts, two.late) == ([1], 9)
    assert one.parts is not made("a").parts
    with pytest.raises(TypeError):
        made()
    with pytest.raises(TypeError):
        made("a", late=1)


def test_equality_hash_and_text(made: Any) -> None:
    assert made("a", hidden=1) == made("a", hidden=2) != made("b")
    assert made("a") != "a"
    assert repr(made("a")).endswith("Thing(name='a', parts=[], number=5, late=5)")
    assert made.__match_args__ == ("name", "parts", "hidden", "number")
    with pytest.raises(TypeError):
        hash(made("a"))  # of a list; and what is not frozen has none


def test_what_is_frozen_stays(made: Any) -> None:
    one = made("a")
    if made.frozen:
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.name = "b"
        with pytest.raises(dataclasses.FrozenInstanceError):
            del one.name
    else:
        one.name = "b"
        assert one.name == "b"
    assert hasattr(one, "__dict__") is not made.slotted


@pytest.mark.parametrize("replace", [records.replace, dataclasses.replace])
def test_replace(made: Any, replace: Callable[..., Any]) -> None:
    if not hasattr(made, "__fields__") and replace is records.replace:
        replace = dataclasses.replace  # it is for ours only
    one = replace(made("a", [2]), number=6)
    assert (one.name, one.parts, one.number, one.late) == ("a", [2], 6, 6)
    with pytest.raises(TypeError):
        replace(one, unknown=1)


def test_the_standard_library_takes_them_for_its_own(made: Any) -> None:
    assert dataclasses.asdict(made("a")) == {"name": "a", "parts": [], "hidden": 3, "number": 5, "late": 5}


def test_a_subclass_adds_fields_and_own_methods_stay(kind: Any) -> None:
    @kind.dataclass(frozen=True, slots=True)
    class Base:
        a: int

        def __repr__(self) -> str:
            return "mine"

    @kind.dataclass(frozen=True, slots=True)
    class More(Base):
        b: int = 2

    base: Any = Base
    more: Any = More
    assert repr(base(1)) == "mine"
    assert (more(1).a, more(1).b, more(1) == more(1, 2), more(1) == base(1)) == (1, 2, True, False)
    assert not hasattr(more(1), "__dict__")


def test_records_are_pickled_and_hashed() -> None:
    one = Point(1)
    assert pickle.loads(pickle.dumps(one)) == one
    assert {one, Point(1, 7), Point(1, 8)} == {Point(1, 8), one}


def test_importing_a_run_does_not_import_the_standard_ones() -> None:
    code = "import sys, dbroster.cli; print('dataclasses' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
