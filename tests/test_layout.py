"""What the tree looks like: names that need no alias, and tests that mirror the source."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "watchword"
KNOWN_ALIASES = {
    ("rich_click", "click"),  # as its documentation has it: it takes the place of click
    ("Set", "AbstractSet"),  # of collections.abc; `Set` is taken for the builtin's like
}


def test_no_import_needs_another_name() -> None:
    """An alias that only avoids a clash says that one of the two names is too wide."""
    aliases = {
        (path.relative_to(ROOT).as_posix(), name.name, name.asname)
        for path in SOURCE.rglob("*.py")
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
        if name.asname and (name.name, name.asname) not in KNOWN_ALIASES
    }

    assert set() == aliases


OF_SOME_SIZE = 200  # lines; what is smaller may be tested by what uses it
# Modules without a test module of their own, and where they are tested instead. The list may only become shorter: a
# module that gets its own tests must leave it.
TESTED_ELSEWHERE = {
    "cli/bootstrap.py": "test_quick_start.py",  # runs it as its readers do
    "cli/demo.py": "test_dependencies.py",
    "cli/keys.py": "services/keys/test_rotation.py",
    "cli/secrets.py": "cli/test_serve.py",
    "cli/workers.py": "cli/test_serve.py",
    "domain/access/rule_index.py": "domain/access/test_abilities.py",  # an ability is made of indexes
    "domain/access/subjects.py": "domain/access/test_rules.py",  # a table
    "domain/authentication/public_keys.py": "domain/authentication/test_jose.py",
    "domain/authentication/live_tokens.py": "services/authentication/test_live_tokens.py",
    "domain/errors.py": "test_api_contract.py",  # every refusal as it is answered
    "domain/patterns.py": "domain/test_bounds.py",
    "http/access/privileges.py": "services/access/test_privileges.py",
    "http/audit/events.py": "services/audit/test_events.py",
    "http/identities/memberships.py": "services/projects/test_members.py",
    "http/people/account.py": "services/people/test_passwords.py",
    "http/people/groups.py": "services/people/test_groups.py",
    "http/people/organization_people.py": "services/people/test_organization_people.py",
    "http/people/project_people.py": "services/projects/test_members.py",
    "http/people/sign_in.py": "services/people/test_sign_in.py",
    "http/projects/folders.py": "services/projects/test_folders.py",
    "http/projects/projects.py": "services/projects/test_projects.py",
    "http/secrets/imports.py": "services/secrets/test_reading.py",
    "http/secrets/secrets.py": "services/secrets/test_writing.py",
    "http/secrets/wire.py": "services/secrets/test_reading.py",
    "methods/base.py": "methods/test_registry.py",
    "methods/kubernetes_review.py": "methods/test_kubernetes.py",  # through the method
    "services/authentication/bearer.py": "services/authentication/test_tokens.py",
    "services/authentication/dry_run_login.py": "services/authentication/test_auth_methods.py",
    "services/identities/project_members.py": "services/projects/test_members.py",
    "services/people/account.py": "services/people/test_passwords.py",
    "services/people/organizations.py": "services/people/test_organization_people.py",
    "services/people/project_people.py": "services/projects/test_members.py",
    "services/secrets/expansion.py": "services/secrets/test_references_read.py",
    "services/secrets/folder_cache.py": "services/secrets/test_reading.py",
    "services/secrets/imports.py": "services/secrets/test_reading.py",
    "services/secrets/moving.py": "services/secrets/test_relocation.py",
    "store/access/access_report.py": "services/access/test_access_report.py",
    "store/access/grants.py": "store/test_queries.py",  # every query, on both engines
    "store/audit/queries.py": "store/test_queries.py",
    "store/authentication/logins.py": "store/test_journal.py",
    "store/authentication/token_rows.py": "store/test_queries.py",
    "store/engine.py": "store/test_conformance.py",
    "store/keys/data_keys.py": "store/test_queries.py",
    "store/migrate.py": "store/test_migrations.py",
    "store/people/accounts.py": "store/test_queries.py",
    "store/people/groups.py": "store/test_queries.py",
    "store/people/people.py": "store/test_queries.py",
    "store/projects/folders.py": "store/test_queries.py",
    "store/projects/members.py": "store/test_queries.py",
    "store/schema.py": "store/test_migrations.py",
    "store/sweeps.py": "services/test_upkeep.py",
}
TESTS = ROOT / "tests"


def own_test(module: str) -> Path:
    folder, _, name = module.rpartition("/")
    return TESTS / folder / f"test_{name}"


def test_every_module_of_some_size_has_its_tests_at_its_own_path() -> None:
    large = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "migrations" not in path.parts and len(path.read_text().splitlines()) >= OF_SOME_SIZE
    }
    without = {module for module in large if not own_test(module).is_file()}

    assert set() == without - set(TESTED_ELSEWHERE)


def test_what_is_tested_elsewhere_is_there_and_has_no_tests_of_its_own() -> None:
    assert [] == [module for module in TESTED_ELSEWHERE if not (SOURCE / module).is_file()]
    assert [] == [module for module in TESTED_ELSEWHERE if own_test(module).is_file()]
    assert [] == [test for test in TESTED_ELSEWHERE.values() if not (TESTS / test).is_file()]


def test_the_modules_that_a_package_lists_are_in_it() -> None:
    """A package's docstring says what each module does: ``- `reading`: one secret, or all that a folder shows``."""
    listed = [
        (package.parent.relative_to(SOURCE).as_posix(), name)
        for package in SOURCE.rglob("__init__.py")
        for line in (ast.get_docstring(ast.parse(package.read_text())) or "").splitlines()
        if line.startswith("- ")
        for name in re.findall(r"`(\w+)`:", line)
    ]

    assert len(listed) > 10
    assert [] == [(folder, name) for folder, name in listed if not (SOURCE / folder / f"{name}.py").is_file()]


# Plain present-day English, where a machine can see it: old words are hard for readers of another mother tongue.
PLAIN = {
    "anew": "again",
    "of now": "current",
    "for ever": "forever",
    "whence": "from where",
    "thereof": "of it",
    "for want of": "without",
}
_TEXTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile", "pyproject.toml", ".ci/run")


def test_old_words_are_not_used() -> None:
    """An instant may still be said to be within some `minutes of now`."""
    pattern = re.compile(r"(?<!minutes )\b(?:" + "|".join(PLAIN) + r")\b", re.IGNORECASE)
    folders = (SOURCE.rglob("*.py"), TESTS.rglob("*.py"), (ROOT / "docs").rglob("*.md"), TESTS.rglob("*.sql"))
    paths = [path for found in (*folders, (ROOT / "tools").iterdir()) for path in found if path.is_file()]

    assert [] == [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (*paths, *(ROOT / name for name in _TEXTS))
        if "versions" not in path.parts and path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
