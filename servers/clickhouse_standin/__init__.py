"""A stand-in for clickhouse-server's HTTP interface, for tests: chdb behind a threaded HTTP server.

Real: parser, databases, tables, SELECT, formats, settings, error texts and codes, privilege checks, SHOW GRANTS,
system.grants (all of it ClickHouse itself, in process). Emulated: where users, roles and grants are stored (`store`),
what the catalogue shows of them (`catalogue`), authentication, and the HTTP protocol (`web`). See README.md.
"""
