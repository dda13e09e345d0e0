"""ClickHouse 24.8 and newer, over HTTP."""
