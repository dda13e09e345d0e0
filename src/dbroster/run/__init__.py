"""One run on one server: a sync, a check, a restore."""
