"""Archives of ClickHouse databases, in a zip file of dbroster's own."""
