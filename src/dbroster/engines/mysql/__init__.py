"""MySQL 8.0.21 and newer, and MariaDB, which is a MySQL that words some things differently."""
