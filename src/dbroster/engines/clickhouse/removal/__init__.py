"""What is ours to remove, and what keeps a server from removing it."""
