"""Archives of PostgreSQL databases, by PostgreSQL's own programs."""
