"""The TLS context for drivers that take Python's own."""

from pathlib import Path

import pytest

from dbroster.engines import tls
from dbroster.model.connection import Tls


@pytest.mark.parametrize("place", ["keys.log", "nowhere/keys.log"])
@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_no_key_of_a_connection_gets_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, mode: str
) -> None:
    """J12, C4: SSLKEYLOGFILE named it; whoever reads file and network would have read passwords. No error, either."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / place))
    made = tls.context(Tls(mode=mode))
    assert made
    assert made.keylog_filename is None
    assert not list(tmp_path.iterdir())
