"""Statements over HTTP: connections whose every wait ends, single requests, and streams of rows."""
