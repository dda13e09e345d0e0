"""Archives of MySQL and MariaDB databases, by the products' own programs."""
