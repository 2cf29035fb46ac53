"""How many examples hypothesis tries: few of geometry and state machines on each change, many at night; parsers always."""

from hypothesis import HealthCheck, settings

SAME_EACH_TIME = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""A change is judged by the same examples as the one before it, however slow the cores are."""

settings.register_profile("ci", SAME_EACH_TIME, max_examples=30)
settings.register_profile("nightly", deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])

PARSER = settings(SAME_EACH_TIME, max_examples=100)
"""For what reads bytes from outside."""
