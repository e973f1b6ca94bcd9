"""Write the first migration out of `store/schema.py`: python tools/first_migration.py [--check]

Only for as long as no release has carried it. From then on migrations are append-only: a change of the tables is a new file.
"""

# ruff: noqa: INP001

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import api, render_python_code
from alembic.operations.ops import UpgradeOps
from alembic.runtime.migration import MigrationContext

from watchword.store.schema import metadata

FILE = Path(__file__).parent.parent / "src/watchword/store/migrations/versions/0001_first.py"
HEADER = '''"""The first tables. Written by tools/first_migration.py."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From an empty database."""
'''


def written() -> str:
    """The text of the migration that makes all tables of the schema."""
    with sa.create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        script = api.produce_migrations(context, metadata)
    operations = script.upgrade_ops
    if not isinstance(operations, UpgradeOps):
        raise TypeError("alembic answered several databases")
    body = render_python_code(operations, sqlalchemy_module_prefix="sa.", alembic_module_prefix="op.")
    lines = [line for line in body.splitlines() if line.strip() and "Alembic" not in line]
    text = HEADER + "\n".join(f"    {line.removeprefix('    ')}" for line in lines) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FILE), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ruff, of our own


def main() -> int:
    """Write the file, or with `--check` say whether it is as it would be written."""
    text = written()
    if "--check" in sys.argv[1:]:
        return int(FILE.read_text() != text)
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
