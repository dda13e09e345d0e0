"""Statements over HTTP: connections whose every wait ends, and single requests."""
