"""Run as `python -m dbroster`."""

import sys

from dbroster.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
