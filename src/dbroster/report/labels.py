"""What a server is called in texts for people."""


def label(engine: str, server: str) -> str:
    """Return engine and server; a name that begins with the engine's, as `dbroster init` gives it, says both."""
    if server == "default":
        return engine
    return server if server.startswith(engine) else f"{engine} {server}"
