"""PostgreSQL 13 and newer."""
