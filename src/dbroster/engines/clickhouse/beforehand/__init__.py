"""What is told before anything is changed: about the server, and what it must refuse."""
