"""The verbs that work on servers, or tell what is on them."""
