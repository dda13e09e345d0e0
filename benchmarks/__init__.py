"""Benchmarks: dbroster as a whole process, side by side with a raw script of the same end state, on durable servers."""
