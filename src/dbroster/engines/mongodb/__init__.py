"""MongoDB 5 and newer, alone or as a replica set."""
