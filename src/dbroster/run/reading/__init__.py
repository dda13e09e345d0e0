"""What is only read or told: a check, who has what, what a server could become, what makes the admin."""
