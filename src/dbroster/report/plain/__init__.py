"""A report as plain text: a line for each user, or for each action, and the closing table."""
