"""Fixtures for all tests."""

from argon2 import PasswordHasher

from watchword.services import passwords

# At its real cost argon2 would take most of the suite's time, and the cost is no rule that a test is about.
passwords._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)

pytest_plugins = ["tests.postgres", "tests.house"]
