"""Keys of connections.yaml: each with its default, its meaning and its check, and one mapping that is read by them."""
