"""`make demo`: dbroster at work on real servers that are started for it and thrown away afterwards."""
