"""What servers store instead of passwords: making it, and checking a password against it, without any server.

Pure functions on the standard library. `…_matches` functions return None for a stored text whose format they don't
know; they never raise for one. They compare in constant time. Makers raise ValueError for an empty password, since
some servers take its verifier for "no password". Passwords are `str` where the algorithm normalises Unicode or
mixes in other text, and `bytes` (UTF-8) where it does not.
"""
