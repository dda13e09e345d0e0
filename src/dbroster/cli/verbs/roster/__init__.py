"""The verbs that change the roster."""
