"""Write what is told of the keys of connections.yaml (`make reference`).

The tables in docs/configuration.md and docs/connections.schema.json come from the keys themselves: the `EngineOptions`
of each engine, and config/server_keys.py.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbroster.config.server_keys import COMMON_PARTS, MOST_SERVERS, PARTS, ServerKeys, TopKeys
from dbroster.engines import ENGINES, options_of
from dbroster.settings.keys import Key

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "configuration.md"
SCHEMA = DOCS / "connections.schema.json"
PASSWORDS = ("password", "password_file", "password_env")
_BLOCK = re.compile(r"(?<=<!-- keys: )(\w+)( -->\n).*?(?=<!-- end of keys -->)", re.DOTALL)
_BARE = re.compile(r"[\w-]+")

_KINDS = [options_of(engine) for engine in ENGINES]

Keys = Mapping[str, Key[Any]]


def main() -> None:
    """Write both."""
    PAGE.write_text(page(PAGE.read_text()))
    SCHEMA.write_text(schema_text())


# --- tables -----------------------------------------------------------------------------------------------------------


def page(text: str) -> str:
    """Return the page with its tables as they must be. Raises KeyError for a block of keys that don't exist."""
    return _BLOCK.sub(lambda block: f"{block[1]}{block[2]}{_TABLES[block[1]]}", text)


def _table(rows: Mapping[str, tuple[str, str]]) -> str:
    lines = [f"| `{name}` | {default}{' ' * bool(default)}| {meaning} |" for name, (default, meaning) in rows.items()]
    return "\n".join(["", "| key | default | meaning |", "|---|---|---|", *lines, "", ""])


def _rows(keys: Keys, part: str = "") -> dict[str, tuple[str, str]]:
    return {part + name: (_default(key), _meaning(key)) for name, key in keys.items()}


def _default(key: Key[Any]) -> str:
    if key.shown is not None:
        others = [f" ({kind.product}: this or `{kind.instead_of_host}`)" for kind in _KINDS if kind.instead_of_host]
        return key.shown.replace("{instead}", "".join(others))
    value = key.default
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, tuple):
        texts = [text if _BARE.fullmatch(text) else json.dumps(text) for text in value]
        return f"`[{', '.join(texts)}]`"
    return f"`{value}`" if value else ""


def _meaning(key: Key[Any]) -> str:
    ports = ", ".join(f"{kind.default_port} ({kind.product})" for kind in _KINDS)
    return key.meaning.replace("{ports}", ports)


_SECTIONS = {
    engine: ("", f"section for {options_of(engine).product}: a server, or a list of named ones") for engine in ENGINES
}
_TABLES = {
    "top": _table(_rows(TopKeys.keys) | _SECTIONS),
    "section": _table(_rows(ServerKeys.keys)),
    **{part: _table(_rows(keys.keys, f"{part}.")) for part, keys in PARTS.items()},
    **{engine: _table(_rows(options_of(engine).keys)) for engine in ENGINES},
}
"""The blocks of the page by name."""


# --- schema -----------------------------------------------------------------------------------------------------------


def schema_text() -> str:
    """Return the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """Return a JSON schema for connections.yaml, for editors; dbroster itself judges more strictly."""
    parts = {name: _object(_properties(part.keys)) for name, part in PARTS.items()}
    sections = {engine: _section(engine, telling) for engine, (_, telling) in _SECTIONS.items()}
    common = {name: {"$ref": f"#/$defs/{name}"} for name in COMMON_PARTS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "connections.yaml of dbroster",
        **_object({**_properties(TopKeys.keys), **common, **sections}),
        "$defs": {**parts, **{engine: _server(engine) for engine in ENGINES}},
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _properties(keys: Keys) -> dict[str, Any]:
    return {name: _property(key, key.default if key.shown is None else None) for name, key in keys.items()}


def _property(key: Key[Any], default: object) -> dict[str, Any]:
    told = {} if default is None or default == "" else {"default": default}
    return {"description": _plain(_meaning(key)), **key.schema(), **told}


def _plain(text: str) -> str:
    """Return a meaning without what only a page can show."""
    text = re.sub(r" \(\[(?:above|below)\]\([^)]*\)\)", "", text)
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text).replace("**", "")


def _section(engine: str, telling: str) -> dict[str, Any]:
    server = {"$ref": f"#/$defs/{engine}"}
    named = {"type": "array", "minItems": 1, "maxItems": MOST_SERVERS, "items": {**server, "required": ["name"]}}
    return {"description": telling, "oneOf": [server, named]}


def _server(engine: str) -> dict[str, Any]:
    """Describe one server: what must be there, and what excludes what."""
    options = options_of(engine)
    properties = {
        **_properties(ServerKeys.keys),
        "port": _property(ServerKeys.port, options.default_port),
        **{part: {"$ref": f"#/$defs/{part}"} for part in PARTS},
        **_properties(options.keys),
    }
    instead = options.instead_of_host
    twice = [[one, other] for one in PASSWORDS for other in PASSWORDS if one < other]
    twice += [[instead, "port"]] if instead else []
    return {
        **_object(properties),
        "required": ["username"] if instead else ["host", "username"],
        **({"oneOf": [{"required": ["host"]}, {"required": [instead]}]} if instead else {}),
        "not": {"anyOf": [{"required": keys} for keys in twice]},
    }


if __name__ == "__main__":
    main()
