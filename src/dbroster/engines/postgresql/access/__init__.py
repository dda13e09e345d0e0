"""Whose roles and databases are: markers, and logins that check passwords."""
