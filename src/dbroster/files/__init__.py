"""Reading, writing and locking files safely."""
