"""Attackers meet the real scripts on real servers."""

from tests.e2e.conftest import adapter, site

__all__ = ["adapter", "site"]
