"""Fixtures for all tests."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres", "tests.house"]

# How long an example takes says how busy the machine is, and nothing about the rule.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("house")
