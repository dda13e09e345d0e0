"""Who gets in and may do what: accounts, mechanisms, roles."""
