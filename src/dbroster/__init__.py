"""dbroster keeps developers' accounts and databases in step with one users.txt."""

__version__ = "0.1.0"
