"""MySQL's own client programs on the PATH, where only the private ones of tools/install_mysql.sh are there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.template import cache_directory


@contextmanager
def on_path(directory: Path) -> Iterator[None]:
    """Put `mysql` and `mysqldump` in front; the private ones' wrappers want no option file, ours names one."""
    private = cache_directory() / "mysql"
    with pytest.MonkeyPatch.context() as patch:
        if (private / "mysqldump-private").exists():
            for name in ("mysql", "mysqldump"):
                text = (private / f"{name}-private").read_text()
                found = re.search(r'exec (.*) --no-defaults (\S+) "\$@"', text)
                assert found, text
                path = directory / name
                path.write_text(f'#!/bin/sh\nfirst=$1; shift\nexec {found[1]} "$first" {found[2]} "$@"\n')
                path.chmod(0o755)
            patch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
        yield
