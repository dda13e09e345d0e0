"""Getting out who would rather stay, and dropping what is theirs."""
