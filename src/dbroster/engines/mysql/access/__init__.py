"""Accounts, grants and markers: who may do what, and whose it is. Pure functions."""
