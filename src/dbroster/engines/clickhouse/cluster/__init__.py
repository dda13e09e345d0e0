"""Several servers that are asked and changed as one."""
