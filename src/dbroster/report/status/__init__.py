"""The status of users and servers in its formats: a table, JSON, CSV, a page."""
