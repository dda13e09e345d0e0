"""Which of PostgreSQL's programs that are installed fit a server."""

from pathlib import Path

import pytest

from dbroster.engines.postgresql import client_programs
from dbroster.engines.postgresql.client_programs import Programs, find_programs


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is installed yet: `usual/MAJOR/bin` is where a distribution keeps each major."""
    monkeypatch.setattr(client_programs, "_PLACES", (f"{tmp_path}/usual/{{}}/bin",))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def install(directory: Path, major: int, *names: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names or ("pg_dump", "pg_restore"):
        (directory / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.4 (Debian)'\n")
        (directory / name).chmod(0o755)


def test_the_servers_own_major_comes_first(places: Path) -> None:
    """A9: what PATH names may be newer, and its archives of no use to the server."""
    install(places / "path", 18)
    install(places / "usual" / "15" / "bin", 15)
    install(places / "usual" / "16" / "bin", 16)
    assert find_programs(15) == Programs(places / "usual/15/bin", 15)
    assert find_programs(18) == Programs(places / "path", 18)
    assert find_programs(17) == Programs(places / "path", 18)


def test_else_the_next_newer_one_whose_archives_can_be_restored(places: Path) -> None:
    """A9: for a server before 17 that ends with 16, whose pg_restore sets nothing that the server does not know."""
    install(places / "path", 18)
    install(places / "usual" / "16" / "bin", 16)
    found = find_programs(13)
    assert found == Programs(places / "usual/16/bin", 16)
    assert not isinstance(found, str)
    assert found.pg_dump == str(places / "usual/16/bin/pg_dump")


def test_else_the_reason_is_said(places: Path) -> None:
    """A9: nothing, only a half, only older ones, only newer ones."""
    assert "not installed" in str(find_programs(15))
    install(places / "path", 15, "pg_dump")
    assert "not installed" in str(find_programs(15))
    install(places / "path", 14)
    assert "older than the server, version 15: those in" in str(find_programs(15))
    install(places / "path", 17)
    refused = str(find_programs(15))
    assert "could not be restored to this server of version 15" in refused
    assert refused.endswith("(Debian: postgresql-client-15)")


def test_a_distributions_own_directory_comes_before_the_path(places: Path) -> None:
    """A9: Debian's /usr/bin/pg_dump runs another version for a remote host than the one that it tells."""
    install(places / "path", 16)
    install(places / "usual" / "16" / "bin", 16)
    assert find_programs(14) == Programs(places / "usual/16/bin", 16)
