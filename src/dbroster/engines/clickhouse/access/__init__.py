"""Who may do and see what: grants, roles, row policies, logins."""
