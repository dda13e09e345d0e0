"""Changing the roster: by an editor, by verbs, or into an encrypted one; always whole, and judged before."""
