"""Who shall have an account: users.txt, template lists, where they come from."""
