"""What Watchword is installed with: bounded where it matters, without a warning, and complete in its wheel."""

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
DEPENDENCIES = {
    canonicalize_name(found.name): found
    for found in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
}

# Parts of libraries that these do not document, or say are theirs: a release may change them without a word.
# (distribution, module, object) -> names. A class also has what it and its methods assign to `self`. The bound is the
# next release that may change them.
PRIVATE: dict[tuple[str, str, str], set[str]] = {
    ("uvicorn", "uvicorn.protocols.http.flow_control", ""): {"HIGH_WATER_LIMIT"},
    ("uvicorn", "uvicorn.protocols.http.httptools_impl", ""): {
        "STATUS_LINE",
        "HttpToolsProtocol",
        "RequestResponseCycle",
    },
    ("uvicorn", "uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol"): {
        "_start_asgi_task",
        "_unset_keepalive_if_required",
        "access_log",
        "app",
        "connection_lost",
        "connection_made",
        "cycle",
        "expect_100_continue",
        "flow",
        "limit_concurrency",
        "logger",
        "loop",
        "on_body",
        "on_headers_complete",
        "on_message_begin",
        "on_message_complete",
        "on_response_complete",
        "parser",
        "pipeline",
        "root_path",
        "scope",
        "server_state",
        "timeout_keep_alive",
        "timeout_keep_alive_handler",
        "timeout_keep_alive_task",
        "transport",
        "url",
    },
    ("uvicorn", "uvicorn.protocols.http.httptools_impl", "RequestResponseCycle"): {
        "access_log",
        "body",
        "default_headers",
        "disconnected",
        "flow",
        "keep_alive",
        "logger",
        "message_event",
        "more_body",
        "on_response",
        "receive",
        "response_complete",
        "response_started",
        "scope",
        "send",
        "transport",
    },
    ("uvicorn", "uvicorn", "Server"): {"capture_signals", "startup", "handle_exit", "serve", "should_exit"},
    ("sqlalchemy", "sqlalchemy.sql.dml", "Insert"): {"_post_values_clause", "_returning"},
    ("asyncpg", "asyncpg.exceptions._base", ""): {"DataError"},
}
# Loaded by name and not everywhere: the module itself is what is not documented.
PRIVATE_MODULES = {("caio", "caio.linux_aio"): {"Operation", "Context"}}


def names_of(found: Any) -> set[str]:
    names = set(dir(found))
    if inspect.isclass(found):
        for base in found.__mro__[:-1]:
            try:
                tree = ast.parse(inspect.getsource(base).lstrip())
            except (OSError, TypeError, SyntaxError):
                continue
            names |= {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            }
    return names


@pytest.mark.parametrize(("where", "names"), PRIVATE.items(), ids=[f"{module}.{name}" for _, module, name in PRIVATE])
def test_the_undocumented_parts_that_are_used_are_there(where: tuple[str, str, str], names: set[str]) -> None:
    _, module, name = where
    found = importlib.import_module(module)

    assert names - names_of(getattr(found, name) if name else found) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="the interface is Linux's")
def test_the_undocumented_module_that_is_used_is_there() -> None:
    from caio import linux_aio

    assert linux_aio is not None
    assert PRIVATE_MODULES["caio", "caio.linux_aio"] - set(dir(linux_aio)) == set()


def test_every_runtime_dependency_has_a_lower_and_an_upper_bound() -> None:
    for requirement in DEPENDENCIES.values():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">=", "<"}, str(requirement)


@pytest.mark.parametrize("name", sorted({where[0] for where in [*PRIVATE, *PRIVATE_MODULES]}))
def test_a_library_whose_undocumented_parts_are_used_is_bounded_by_the_next_minor_release(name: str) -> None:
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    pinned = next(line.split("==")[1].split()[0] for line in lock.splitlines() if line.startswith(f"{name}=="))
    major, minor = pinned.split(".")[:2]

    assert not DEPENDENCIES[name].specifier.contains(f"{major}.{int(minor) + 1}"), (  # type: ignore[index]
        f"{DEPENDENCIES[name]}, and {pinned} is what was tested"  # type: ignore[index]
    )


# Libraries of one author or one release, which something else may have to take the place of
# (docs/decisions/0151): where they are used, and of what they are asked. More is a decision.
SMALL: dict[str, dict[str, set[str]]] = {
    "sansldap": {
        "adapters/ldap.py": {
            "BindResponse",
            "DereferencingPolicy",
            "ExtendedResponse",
            "LDAPClient",
            "LDAPError",
            "LDAPFilter",
            "LDAPMessage",
            "LDAPResultCode",
            "SearchResultDone",
            "SearchResultEntry",
            "SearchResultReference",
            "SearchScope",
        },
        "methods/ldap.py": {"LDAPFilter"},
    },
    "caio": {"store/group_fsync.py": {"linux_aio"}},
}


@pytest.mark.parametrize("library", SMALL)
def test_a_library_that_may_have_to_be_replaced_is_used_in_few_places_and_for_few_names(library: str) -> None:
    source = ROOT / "src" / "watchword"
    found: dict[str, set[str]] = {}
    for file in source.rglob("*.py"):
        if library not in (text := file.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            names: set[str] = set()
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == library:
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == library:
                names = {node.attr}
            elif isinstance(node, ast.Import):
                assert not [
                    alias
                    for alias in node.names
                    if alias.name.startswith(f"{library}.") or (alias.name == library and alias.asname)
                ]
            if names:
                found.setdefault(str(file.relative_to(source)), set()).update(names)

    assert found == SMALL[library]


QUIET = """
import importlib, pkgutil, watchword
for module in pkgutil.walk_packages(watchword.__path__, "watchword."):
    if ".migrations" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


@pytest.mark.parametrize(
    "command",
    [["-c", QUIET], ["-m", "watchword", "--version"], ["-m", "watchword", "demo"]],
    ids=["all", "version", "demo"],
)
def test_it_runs_without_a_warning(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_the_wheel_holds_the_package_whole_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    source = ROOT / "src"
    there = {
        path.relative_to(source).as_posix()
        for path in (source / "watchword").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = set(wheel.namelist())
        information = {name for name in inside if ".dist-info/" in name}
        metadata = wheel.read(next(name for name in information if name.endswith("/METADATA"))).decode()

    assert inside - information == there
    assert {name.split("/", 1)[1] for name in information} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert metadata.count("Requires-Dist: ") == len(DEPENDENCIES)
