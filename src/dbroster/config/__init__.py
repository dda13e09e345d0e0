"""connections.yaml: from YAML to one frozen Connection per server."""
