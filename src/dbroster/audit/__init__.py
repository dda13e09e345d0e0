"""The audit log: written in a chain, read back, and what it tells of earlier runs."""
