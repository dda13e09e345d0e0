"""The matrix of versions: every name has an installer, and the README's table says what has run and nothing else."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from servers import ENGINES
from tools.matrix import newer_curl, table
from tools.matrix.__main__ import counts
from tools.matrix.table import BEGIN, END, HEAD, Row
from tools.matrix.versions import PRODUCTS, ROOT, VERSIONS

ROW = Row("postgresql-17", "PostgreSQL 17.12", "2026-11-26", 700, 3, 0)
EMPTY = f"before\n{BEGIN}{HEAD}{END}after\n"


@pytest.mark.parametrize("name", VERSIONS)
def test_every_version_has_an_installer_and_a_way_to_its_programs(name: str) -> None:
    version = VERSIONS[name]
    script = ROOT / version.installer(Path("/cache"))[0]
    assert os.access(script, os.X_OK)
    assert version.engine in ENGINES
    told = version.environment(Path("/cache"), "/usr/bin")
    assert told.get("PATH", "/usr/bin").endswith("/usr/bin")
    assert all((ROOT / path).is_dir() for path in version.tests() if not path.startswith("-"))


def test_the_readme_tells_of_no_other_versions_and_of_each_in_its_place() -> None:
    rows = table.read((ROOT / "README.md").read_text())
    assert list(rows) == [name for name in VERSIONS if name in rows]
    for row in rows.values():
        assert row.server.split()[0] == PRODUCTS[VERSIONS[row.name].engine]
        assert row.passed > 0


def test_rows_that_did_not_run_this_time_stay_and_all_have_their_order() -> None:
    older = replace(ROW, name="postgresql-13", server="PostgreSQL 13.16", failed=2)
    text = table.replaced(table.replaced(EMPTY, ROW), older)
    assert list(table.read(text).values()) == [older, ROW]
    assert "697 passed" not in text
    again = replace(ROW, passed=697)
    assert list(table.read(table.replaced(text, again)).values()) == [older, again]
    assert "700 passed, 3 skipped, 2 failed" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_a_version_that_is_gone_loses_its_row() -> None:
    text = EMPTY.replace(END, f"{replace(ROW, name='postgresql-9')}\n{END}")
    assert list(table.read(table.replaced(text, ROW))) == ["postgresql-17"]


def test_a_readme_without_a_place_and_a_line_that_is_no_row_are_told() -> None:
    with pytest.raises(ValueError, match="no place"):
        table.replaced("nothing", ROW)
    with pytest.raises(ValueError, match="no row of the matrix: by hand"):
        table.read(EMPTY.replace(END, f"by hand\n{END}"))


def test_the_hash_of_a_needed_version_is_that_of_the_linker() -> None:
    assert newer_curl.hashed(b"GLIBC_2.2.5") == 0x09691A75  # as `readelf -V` shows it in any program


def test_a_program_asks_for_the_newer_curl_by_name_and_by_hash(tmp_path: Path) -> None:
    program = tmp_path / "mongod"
    wanted = b"\0CURL_OPENSSL_%d\0 and " + newer_curl.needed(b"CURL_OPENSSL_3") + b"\7\0"
    program.write_bytes(wanted % 3)
    newer_curl.main(program)
    assert program.read_bytes() == b"\0CURL_OPENSSL_4\0 and " + newer_curl.needed(b"CURL_OPENSSL_4") + b"\7\0"


def test_a_program_that_does_not_ask_for_the_older_curl_stays_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "mongod"
    program.write_bytes(b"\0CURL_OPENSSL_4\0")
    with pytest.raises(SystemExit, match="not the program"):
        newer_curl.main(program)
    assert program.read_bytes() == b"\0CURL_OPENSSL_4\0"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("10 passed, 50 deselected, 29 subtests passed in 44.37s", (10, 0, 0)),
        ("2 failed, 8 passed, 3 skipped, 1 error in 300.12s (0:05:00)", (8, 3, 3)),
        ("======= 1 passed, 2 errors, 4 subtests passed in 0.10s =======", (1, 0, 2)),
    ],
)
def test_counts_are_those_of_pytests_last_line(line: str, expected: tuple[int, int, int]) -> None:
    assert counts(f"5 passed in a text\n{line}\n") == expected
