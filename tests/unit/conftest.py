"""Unit tests share a busy machine with servers, so the time of one example proves nothing."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=60)
settings.load_profile("unit")
