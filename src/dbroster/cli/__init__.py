"""Verbs and arguments, and the only place that prints or exits."""
