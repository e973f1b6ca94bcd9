"""Fixtures for all tests."""

import functools

import starlette.routing
from hypothesis import HealthCheck, settings

from tests import routes
from watchword import app
from watchword.http import router
from watchword.http.authentication import auth_methods
from watchword.services.people import passwords

# At its real cost argon2 would take most of the suite's time, and the cost is no rule that a test is about.
passwords.PASSES, passwords.MEMORY = 1, 64 << 10

# Hundreds of tests have a server of their own; what is the same for all of them is made once.
app.registry = functools.cache(app.registry)  # type: ignore[attr-defined]
auth_methods.method_routes = routes.once
router.layout = functools.cache(router.layout)
starlette.routing.compile_path = functools.cache(starlette.routing.compile_path)

# How long an example takes says how busy the machine is, and nothing about the rule.
settings.register_profile(
    "watchword", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
# For the coverage of branches: a few examples, and the same ones each time, so that its floor always means the same.
settings.register_profile(
    "coverage", settings.get_profile("watchword"), max_examples=15, derandomize=True, database=None
)
settings.register_profile("soak", settings.get_profile("watchword"), max_examples=2_000)
settings.load_profile("watchword")

pytest_plugins = ["tests.skips", "tests.postgres", "tests.databases", "tests.api", "tests.demonstration"]
