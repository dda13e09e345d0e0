"""What a user needs to begin, as text, variables, JSON or a page."""
