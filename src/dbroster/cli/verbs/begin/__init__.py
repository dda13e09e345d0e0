"""The verbs of the first hour: a config directory, the admin's grants, a roster from what is there."""
