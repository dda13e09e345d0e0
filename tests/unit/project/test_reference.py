"""The tables of keys and the schema for editors are what the keys themselves say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dbroster.config.server_keys import COMMON_PARTS, PARTS, ServerKeys, TopKeys
from dbroster.engines import ENGINES, options_of
from tests.unit.config.test_connections import LEAST, read
from tools import reference

ROOT = Path(__file__).resolve().parents[3]
SCHEMA: dict[str, Any] = json.loads(reference.SCHEMA.read_text())


def accepted(document: object) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(document))


def test_the_tables_of_keys_are_current() -> None:
    page = reference.PAGE.read_text()
    assert page == reference.page(page), "make reference"
    assert set(re.findall("<!-- keys: (.*) -->", page)) == {"top", "section", *PARTS, *ENGINES}


def test_the_schema_is_current_and_a_schema() -> None:
    assert reference.SCHEMA.read_text() == reference.schema_text(), "make reference"
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_accepts_the_sample() -> None:
    assert accepted(yaml.safe_load((ROOT / "config/connections.yaml").read_text()))


def test_the_schema_accepts_the_example_of_the_page() -> None:
    chapter = reference.PAGE.read_text().partition("\n## connections.yaml")[2]
    block = re.search(r"\n\n((?:    .*\n|\n)+)", chapter)
    assert block
    assert accepted(yaml.safe_load(block[1]))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_schema_knows_every_key_and_no_other(engine: str) -> None:
    known = {*ServerKeys.keys, *PARTS, *options_of(engine).keys}
    assert SCHEMA["$defs"][engine]["properties"].keys() == known
    assert SCHEMA["properties"].keys() == {*TopKeys.keys, *COMMON_PARTS, *ENGINES}
    assert accepted({engine: LEAST})
    assert accepted({engine: [{**LEAST, "name": "a"}]})
    for wrong in ({"hots": "h"}, {"tls": {"mod": "require"}}, {"port": 0}, {"port": "x"}, {"password_env": "X"}):
        assert not accepted({engine: {**LEAST, **wrong}})
    assert not accepted({engine: [LEAST]}), "each server of a list needs a name"
    assert not accepted({"rooster": "x", engine: LEAST})


@pytest.mark.parametrize(
    ("engine", "keys"),
    [
        ("mysql", {"auth_plugin": "old"}), ("mysql", {"privileges": ["SUPER"]}), ("mysql", {"hosts": []}),
        ("mysql", {"uri": "mongodb://h"}), ("postgresql", {"connection_limit": -2}), ("mongodb", {"uri": "mongodb://h"}),
        ("mongodb", {"roles": ["root"]}), ("mongodb", {"allow_plaintext_transport": "yes"}),
    ],
)  # fmt: skip
def test_the_schema_judges_what_only_one_engine_has(engine: str, keys: dict[str, Any]) -> None:
    assert not accepted({engine: {**LEAST, **keys}})


def test_host_or_what_stands_for_it() -> None:
    login = {"username": "admin", "password": "pw"}
    assert accepted({"mongodb": {**login, "uri": "mongodb://a,b/?replicaSet=rs"}})
    assert not accepted({"mongodb": login})
    assert not accepted({"mysql": login})


def _values(engine: str) -> st.SearchStrategy[dict[str, Any]]:
    """Sections of good keys, by what their schema says."""
    some = {
        "protected": st.lists(st.sampled_from(["boss", "x"])),
        "jobs": st.sampled_from([1, 64, "5", "${DBROSTER_FIVE}"]),
        "removals": st.fixed_dictionaries({}, optional={"max": st.sampled_from([0, "all", "7"])}),
        "password_policy": st.fixed_dictionaries({}, optional={"classes": st.integers(0, 4), "forbidden": st.just([])}),
    }
    defaults = {
        name: st.just([*key.default] if isinstance(key.default, tuple) else key.default)
        for name, key in options_of(engine).keys.items()
        if key.default != ""
    }
    return st.fixed_dictionaries({key: st.just(value) for key, value in LEAST.items()}, optional=some | defaults)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@given(data=st.data(), engine=st.sampled_from([*ENGINES]))
def test_what_a_run_reads_the_schema_accepts(directory: Path, data: st.DataObject, engine: str) -> None:
    document = {engine: data.draw(_values(engine))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBROSTER_FIVE", "5")
        assert read(directory, yaml.safe_dump(document), engine)
    assert accepted(document)
