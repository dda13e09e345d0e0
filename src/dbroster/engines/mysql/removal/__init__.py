"""Getting users out, and dropping what is theirs."""
