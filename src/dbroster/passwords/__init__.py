"""Secrets, rules for passwords, and what servers store instead of them."""
