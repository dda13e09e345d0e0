"""connections.yaml for one server alone, to stand in another directory: every path in it is absolute."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dbroster.config.connections import CONNECTIONS_FILE, NOTIFY_COMMAND, USERS_COMMAND, read_document
from dbroster.config.server_keys import COMMON_PARTS, RemovalKeys, ServerKeys, TlsKeys, TopKeys
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.settings.section import ConfigSection

_KEPT = {*TopKeys.keys, *COMMON_PARTS} - {USERS_COMMAND, NOTIFY_COMMAND}
_PATHS = {
    "tls": (TlsKeys.ca.name, TlsKeys.cert.name, TlsKeys.key.name),
    "removals": (RemovalKeys.archive_dir.name,),
}


def one_server(files: Files, connection: Connection) -> str:
    """Return the file without other servers and without programs to run; it is one that could be read."""
    document = read_document(files)
    found = document[connection.engine]
    sections = found if isinstance(found, list) else [found]
    section = next(each for each in sections if each.get("name", ServerKeys.name.default) == connection.server)
    directory = files.directory.absolute()
    kept = {key: value for key, value in document.items() if key in _KEPT}
    own = _absolute(section, (ServerKeys.password_file.name,), directory)
    whole = {**_with_parts(kept, directory), connection.engine: _with_parts(own, directory)}
    return yaml.safe_dump(whole, allow_unicode=True, sort_keys=False)


def _with_parts(section: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Make the paths in the parts of a section absolute."""
    parts = {name: _absolute(section[name], keys, directory) for name, keys in _PATHS.items() if section.get(name)}
    return {**section, **parts}


def _absolute(part: Mapping[str, Any], keys: tuple[str, ...], directory: Path) -> dict[str, Any]:
    reader = ConfigSection(part, {}, [], CONNECTIONS_FILE)
    paths = {key: str(directory / reader.text(key)) for key in keys if isinstance(part.get(key), str) and part[key]}
    return {**part, **paths}
