#!/usr/bin/env python3
"""Bring the accounts and databases on postgresql in step with users.txt; runs from a plain checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from dbroster.cli.main import main  # only now is it on the path

if __name__ == "__main__":
    sys.exit(main(engine="postgresql"))
