"""Desired against actual: what a run would change, and whether it may. Pure, the same for every engine."""
