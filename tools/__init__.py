"""Set-up, and what breaks dbroster on purpose."""
