"""Removing users who would rather stay, and what keeps a role from being dropped."""
