"""Secrets whose names hold a text, in several projects at once. Only names and labels are read."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import func, select

from watchword.domain.secrets.records import SecretMetadata
from watchword.domain.secrets.replicas import PREFIX
from watchword.store import schema
from watchword.store.engine import Tx, among

_s, _f, _e = schema.secrets, schema.folders, schema.environments
_read_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_read_metadata = msgspec.json.Decoder(tuple[SecretMetadata, ...]).decode


class NamedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that was found by its name, and where it is."""

    project_id: str
    environment: str
    path: str
    key: str
    tag_ids: tuple[str, ...]
    metadata: tuple[SecretMetadata, ...]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def holding(tx: Tx, project_ids: Sequence[str], text: str, most: int) -> list[NamedKey]:
    """The shared secrets of these projects whose names hold a text in any case, by project and name."""
    if not project_ids:
        return []
    statement = (
        select(_s.c.project_id, _e.c.slug, _f.c.path, _s.c.key, _s.c.tag_ids, _s.c.metadata)
        .select_from(_s.join(_f, _f.c.id == _s.c.folder_id).join(_e, _e.c.id == _f.c.environment_id))
        .where(
            among(_s.c.project_id, project_ids),
            _s.c.user_id.is_(None),
            func.lower(_s.c.key).like(f"%{_escaped(text.lower())}%", escape="\\"),
            func.substr(_f.c.name, 1, len(PREFIX)) != PREFIX,  # copies are shown by what imports them
            _e.c.deleted_at.is_(None),
        )
        .order_by(_s.c.project_id, _s.c.key)
        .limit(most)
    )
    return [
        NamedKey(
            project_id=row[0],
            environment=row[1],
            path=row[2],
            key=row[3],
            tag_ids=_read_tags(row[4]),
            metadata=_read_metadata(row[5]),
        )
        for row in await tx.all(statement)
    ]
