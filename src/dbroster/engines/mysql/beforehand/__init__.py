"""What is told before anything is changed: warnings, and what the server must refuse."""
