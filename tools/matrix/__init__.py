"""Every version of every server that can be had, installed privately; the tests of its engine; the README's table."""
