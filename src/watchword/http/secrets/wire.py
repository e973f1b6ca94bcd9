"""Secrets on the wire: one shape in both APIs, with every field that some client insists on."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol

import msgspec

from watchword.domain.decode import Trimmed
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.projects.records import Tag
from watchword.domain.secrets.records import SecretKind, SecretMetadata
from watchword.domain.secrets.texts import MAX_BATCH, MAX_COMMENT, checked_name, checked_value, tidy_name
from watchword.http.bodies import encode
from watchword.http.wire import Out, list_of
from watchword.services.context import Ctx
from watchword.services.projects.locations import normal_path, place_meant, project_meant
from watchword.services.secrets.reading import ImportedGroup, Personal
from watchword.services.secrets.views import DecryptedFolder, SecretView
from watchword.services.secrets.writing import UNSET, NewSecret, SecretChange, Target, Unset
from watchword.services.timestamps import iso
from watchword.services.turns import Turns

Comment = Annotated[str, msgspec.Meta(max_length=MAX_COMMENT)]
Note = Annotated[
    str, msgspec.Meta(max_length=1024, pattern=r"^[^\x00]*$", description="A text without a zero character (U+0000).")
]
Days = Annotated[int, msgspec.Meta(ge=0, le=365)]  # 0 is how some clients say: none
Ids = Annotated[list[str], msgspec.Meta(max_length=100)]


_PIECE = 250  # secrets that are written in one piece
_VALUE = secrets.token_hex(16)  # stands for a value while the rest is written; nobody can have named a secret like it
_QUOTED = f'"{_VALUE}"'.encode()
_BETWEEN = b"\x7f"  # hardly ever in a value


class SecretTagOut(Out, frozen=True, kw_only=True):
    """A tag on a secret."""

    id: str
    slug: str
    color: str
    name: str

    @classmethod
    def every(cls, tags: Iterable[Tag]) -> list["SecretTagOut"]:
        return [cls(id=tag.id, slug=tag.slug, color=tag.color, name=tag.name) for tag in tags]


class SecretMetadataOut(Out, frozen=True, kw_only=True):
    """A key and value on a secret."""

    key: str
    value: str
    is_encrypted: bool


class SecretOut(Out, frozen=True, kw_only=True):
    """A secret as it is answered everywhere."""

    id: str
    _id: str = msgspec.field(name="_id")
    workspace: str
    environment: str
    version: int
    type: str
    secret_key: str
    secret_value: str
    secret_comment: str
    secret_reminder_note: str | None
    secret_reminder_repeat_days: int | None
    skip_multiline_encoding: bool
    metadata: Mapping[str, str] | None
    created_at: str
    updated_at: str
    secret_path: str
    tags: Sequence[SecretTagOut]
    secret_metadata: Sequence[SecretMetadataOut]
    secret_value_hidden: bool
    is_rotated_secret: bool = False
    rotation_id: str | None = None
    actor: Mapping[str, str | None] | None = None

    @classmethod
    def of(cls, view: SecretView) -> "SecretOut":
        """The answer about a secret."""
        return cls.every((view,))[0]

    @classmethod
    def every(cls, views: Iterable[SecretView] | DecryptedFolder, *, in_group: bool = False) -> Sequence["SecretOut"]:
        """The answers about secrets.

        All of their JSON but the value is written once and kept with the secret, or with the folder.

        A list of a hundred secrets took twice as long without. What this gives then is JSON already, which encodes as
        itself.
        """
        if isinstance(views, DecryptedFolder):
            return cls._on(views)
        answers: list[Any] = []
        for view in views:
            memo = view.memo
            if memo is None:
                answers.append(cls._whole(view, in_group=in_group))
                continue
            drawn = (view.environment, view.path, view.is_hidden, in_group)
            around: tuple[bytes, bytes] | None = memo.get(drawn)
            if around is None:
                before, _, after = encode(
                    cls._whole(msgspec.structs.replace(view, value=_VALUE), in_group=in_group)
                ).partition(_QUOTED)
                around = memo[drawn] = (before, after)
            answers.append(msgspec.Raw(around[0] + encode(view.value) + around[1]))
        return answers

    @classmethod
    async def in_pieces(
        cls, views: Sequence[SecretView] | DecryptedFolder, *, in_group: bool = False
    ) -> Sequence["SecretOut"]:
        """The answers about secrets of a list that may be long: between two pieces others have their turn."""
        if isinstance(views, DecryptedFolder) or len(views) <= _PIECE:
            return cls.every(views, in_group=in_group)
        turns, parts = Turns(), list[bytes]()
        for start in range(0, len(views), _PIECE):
            parts.append(encode(cls.every(views[start : start + _PIECE], in_group=in_group))[1:-1])
            await turns.give()
        whole: Any = list_of(parts)
        return whole  # type: ignore[no-any-return]

    @classmethod
    def _on(cls, folder_secrets: DecryptedFolder) -> Sequence["SecretOut"]:
        around: tuple[bytes, ...] | None = folder_secrets.memo.get(folder_secrets.env_path)
        if around is None:
            blank = [cls._whole(msgspec.structs.replace(view, value=_VALUE), in_group=False) for view in folder_secrets]
            around = folder_secrets.memo[folder_secrets.env_path] = tuple(encode(blank).split(_VALUE.encode()))
        parts = [b""] * (2 * len(folder_secrets) + 1)
        parts[::2], parts[1::2] = around, _texts(folder_secrets.values)
        whole: Sequence[Any] = msgspec.Raw(b"".join(parts))
        return whole

    @classmethod
    def _whole(cls, view: SecretView, *, in_group: bool) -> "SecretOut":
        row = view.secret
        return cls(
            id=row.id,
            _id=row.id,
            workspace="" if in_group else row.project_id,
            environment=view.environment,
            version=row.version,
            type=row.kind,
            secret_key=row.key,
            secret_value=view.value,
            secret_comment=view.comment,
            secret_reminder_note=row.reminder_note,
            secret_reminder_repeat_days=row.reminder_repeat_days,
            skip_multiline_encoding=bool(row.skip_multiline_encoding),
            metadata={item.key: item.value for item in view.metadata} if view.metadata else None,
            created_at=iso(row.created_at),
            updated_at=iso(row.updated_at),
            secret_path=view.path,
            tags=SecretTagOut.every(view.tags) if view.tags else (),
            secret_metadata=[
                SecretMetadataOut(key=i.key, value=i.value, is_encrypted=i.is_encrypted) for i in view.metadata
            ],
            secret_value_hidden=view.is_hidden,
            actor={"actorType": row.actor_kind, "actorId": row.actor_id} if row.actor_kind else None,
        )


def _texts(values: Sequence[bytes]) -> list[bytes]:
    """The JSON of each value, without its quotes.

    Written at once, with a character between them that JSON leaves as it is.
    """
    together = _BETWEEN.join(values)
    if together.count(_BETWEEN) == len(values) - 1:
        return encode(together.decode())[1:-1].split(_BETWEEN)
    return [encode(value.decode())[1:-1] for value in values]


class SecretReply(Out, frozen=True, kw_only=True):
    secret: SecretOut

    @classmethod
    def of(cls, view: SecretView) -> "SecretReply":
        return cls(secret=SecretOut.of(view))


class SecretsReply(Out, frozen=True, kw_only=True):
    secrets: Sequence[SecretOut]

    @classmethod
    async def in_pieces(cls, views: Sequence[SecretView]) -> "SecretsReply":
        return cls(secrets=await SecretOut.in_pieces(views))


class ImportedGroupOut(Out, frozen=True, kw_only=True):
    """The secrets that one import brings in."""

    secret_path: str
    environment: str
    environment_info: Mapping[str, str]
    folder_id: str
    secrets: Sequence[SecretOut]

    @classmethod
    async def in_pieces(cls, groups: Iterable[ImportedGroup]) -> list["ImportedGroupOut"]:
        return [cls.of(group, await SecretOut.in_pieces(group.secrets, in_group=True)) for group in groups]

    @classmethod
    def of(cls, group: ImportedGroup, secrets: Sequence[SecretOut]) -> "ImportedGroupOut":
        environment, folder = group.location.environment, group.location.folder
        return cls(
            secret_path=folder.path,
            environment=environment.slug,
            folder_id=folder.id,
            environment_info={"id": environment.id, "name": environment.name, "slug": environment.slug},
            secrets=secrets,
        )


class SecretListReply(Out, frozen=True, kw_only=True, omit_defaults=True):
    secrets: Sequence[SecretOut]
    imports: Sequence[ImportedGroupOut] | None = None


# --- what is asked


class FolderRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The folder, under all names that clients give it."""

    workspace_id: Trimmed = ""
    project_id: Trimmed = ""
    workspace_slug: Trimmed = ""
    project_slug: Trimmed = ""
    environment: Trimmed = ""
    secret_path: Trimmed | None = None


class Located(Protocol):
    """Anything that names a folder as `FolderRef` does."""

    @property
    def workspace_id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def workspace_slug(self) -> str: ...
    @property
    def project_slug(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def secret_path(self) -> str | None: ...


async def target_of(ctx: Ctx, located: Located) -> Target:
    """The folder that is meant. Raises BadRequest, NotFound, Invalid."""
    project_id = await project_meant(
        ctx, located.project_id or located.workspace_id, located.project_slug or located.workspace_slug
    )
    environment, path = place_meant(ctx, located.environment, located.secret_path)
    return Target(project_id=project_id, environment=environment, path=normal_path(path))


class ReadOptions(FolderRef, frozen=True, kw_only=True, rename="camel"):
    """How secrets are to be shown.

    `_is_whole`: references are filled in and imports shown where the query does not say otherwise.
    """

    _is_whole: ClassVar[bool] = True
    view_secret_value: bool = True
    expand_secret_references: bool | None = None
    include_imports: bool | None = None
    include_imports_too: bool | None = msgspec.field(default=None, name="include_imports")

    @property
    def expands(self) -> bool:
        """Whether references are filled in."""
        return self._is_whole if self.expand_secret_references is None else self.expand_secret_references

    @property
    def imports(self) -> bool:
        """Whether imported secrets are part of the answer; both spellings count."""
        named = [option for option in (self.include_imports, self.include_imports_too) if option is not None]
        return any(named) if named else self._is_whole


WaitVersion = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        description="The ETag of the answer that the client has. The request is answered once the answer is "
        "another one, at once if it already is; with 304 if it still is the same after `waitSeconds`.",
    ),
]
WaitSeconds = Annotated[
    int, msgspec.Meta(ge=1, le=60, description="Seconds to wait with `waitVersion`: 1 to 60, 30 by default.")
]


class Waiting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the answer waits until it has changed."""

    wait_version: WaitVersion = ""
    wait_seconds: WaitSeconds = 30


class WaitOptions(ReadOptions, frozen=True, kw_only=True, rename="camel"):
    """How secrets are to be shown, and whether the answer waits until it has changed."""

    wait_version: WaitVersion = ""
    wait_seconds: WaitSeconds = 30


class NamedRef(FolderRef, frozen=True, kw_only=True, rename="camel"):
    """The folder of a secret that the path names, and whether the shared one or one's own is meant."""

    type: SecretKind = "shared"


class WaitingOneOptions(WaitOptions, frozen=True, kw_only=True, rename="camel"):
    type: SecretKind = "shared"
    version: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] | None = None


class OlderOneOptions(WaitingOneOptions, frozen=True, kw_only=True, rename="camel"):
    _is_whole: ClassVar[bool] = False


class ListOptions(WaitOptions, frozen=True, kw_only=True, rename="camel"):
    recursive: bool = False
    include_personal_overrides: bool = False
    tag_slugs: str = ""
    metadata_filter: str = ""

    @property
    def personal(self) -> Personal:
        """Where a person's own secrets stand."""
        return "instead" if self.include_personal_overrides else "none"

    @property
    def slugs(self) -> frozenset[str]:
        """The tags of which one suffices."""
        return split(self.tag_slugs)

    @property
    def pairs(self) -> tuple[tuple[str | None, str | None], ...]:
        """Keys and values that the metadata must have. Raises Invalid."""
        return metadata_pairs(self.metadata_filter)


class OlderListOptions(ListOptions, frozen=True, kw_only=True, rename="camel"):
    _is_whole: ClassVar[bool] = False

    @property
    def personal(self) -> Personal:
        """Where a person's own secrets stand."""
        return "beside"


def split(text: str) -> frozenset[str]:
    """The parts of a comma list."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def metadata_pairs(text: str) -> tuple[tuple[str | None, str | None], ...]:
    """`key=a,value=b|key=c` as pairs, each side None where nothing is asked of it. Raises Invalid."""
    parts = [part for part in text.split("|") if part.strip()]
    if len(parts) > 10:
        raise Invalid.of("metadataFilter", "At most 10 pairs")
    pairs = []
    for part in parts:
        key, comma, value = part.strip().partition(",value=")
        if not comma and key.startswith("value="):
            key, value = "", key.removeprefix("value=")
        if key and not key.startswith("key="):
            raise Invalid.of(
                "metadataFilter", "Pairs such as key=<key>,value=<value>, with a vertical bar between them"
            )
        pairs.append((key.removeprefix("key=") or None, value or None))
    return tuple(pairs)


# --- what is written


class MetadataItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]
    value: Annotated[str, msgspec.Meta(max_length=1020)] = ""
    is_encrypted: bool = False


Metadata = Annotated[list[MetadataItem], msgspec.Meta(max_length=100)]
OldMetadata = dict[str, str]
ItemPlace = tuple[str | None, str | None]  # environment slug and path of an item; None where the request's


class SecretDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What may be said of a secret besides its name and value."""

    secret_comment: Comment | None = None
    tag_ids: Ids | None = None
    skip_multiline_encoding: bool | None = None
    secret_reminder_note: Note | None = None
    secret_reminder_repeat_days: Days | None = None
    secret_metadata: Metadata | None = None
    metadata: OldMetadata | None = None
    type: SecretKind = "shared"

    def new(self, name: str, value: str, *at: str | int, place: ItemPlace = (None, None)) -> NewSecret:
        """The secret to create. Raises Invalid, naming the place of the name and value in the body."""
        return NewSecret(
            environment=place[0],
            path=place[1],
            name=checked_name(name, *at, "secretKey" if at else "secretName"),
            value=checked_value(value, *at, "secretValue"),
            comment=self.secret_comment or "",
            kind=self.type,
            skip_multiline_encoding=self.skip_multiline_encoding,
            tag_ids=tuple(self.tag_ids or ()),
            metadata=_metadata(self.secret_metadata, self.metadata),
            reminder_note=self.secret_reminder_note or None,
            reminder_repeat_days=self.secret_reminder_repeat_days or None,
        )


class Changes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What may be changed of a secret; what is absent stays."""

    secret_value: str | Unset = UNSET
    new_secret_name: str | Unset | None = UNSET
    secret_comment: Comment | Unset | None = UNSET
    tag_ids: Ids | Unset | None = UNSET
    skip_multiline_encoding: bool | Unset | None = UNSET
    secret_reminder_note: Note | Unset | None = UNSET
    secret_reminder_repeat_days: Days | Unset | None = UNSET
    secret_metadata: Metadata | Unset | None = UNSET
    metadata: OldMetadata | Unset | None = UNSET
    type: SecretKind = "shared"

    def change(self, name: str, *at: str | int, place: ItemPlace = (None, None)) -> SecretChange:
        """The change to carry out. Raises Invalid."""
        value, new_name = self.secret_value, self.new_secret_name
        return SecretChange(
            environment=place[0],
            path=place[1],
            name=tidy_name(name),
            kind=self.type,
            value=checked_value(value, *at, "secretValue") if isinstance(value, str) else UNSET,
            new_name=checked_name(new_name, *at, "newSecretName") if isinstance(new_name, str) else UNSET,
            comment=UNSET if isinstance(self.secret_comment, Unset) else self.secret_comment or "",
            skip_multiline_encoding=self.skip_multiline_encoding,
            # null from a client that knows no tags means: leave them
            tag_ids=tuple(self.tag_ids) if isinstance(self.tag_ids, list) else UNSET,
            metadata=self._metadata(),
            reminder_note=self.secret_reminder_note or (None if self.secret_reminder_note is not UNSET else UNSET),
            reminder_repeat_days=self.secret_reminder_repeat_days
            or (None if self.secret_reminder_repeat_days is not UNSET else UNSET),
        )

    def _metadata(self) -> tuple[SecretMetadata, ...] | Unset:
        if isinstance(self.secret_metadata, list):
            return _metadata(self.secret_metadata, None)
        if isinstance(self.metadata, dict):
            return _metadata(None, self.metadata)
        return UNSET


def _metadata(items: Sequence[MetadataItem] | None, old: OldMetadata | None) -> tuple[SecretMetadata, ...]:
    if items is not None:
        return tuple(SecretMetadata(key=item.key, value=item.value, is_encrypted=item.is_encrypted) for item in items)
    return tuple(SecretMetadata(key=key, value=value) for key, value in (old or {}).items())


class CreateSecretBody(SecretDetails, frozen=True, kw_only=True, rename="camel"):
    workspace_id: Trimmed = ""
    project_id: Trimmed = ""
    workspace_slug: Trimmed = ""
    project_slug: Trimmed = ""
    environment: Trimmed = ""
    secret_path: Trimmed | None = None
    secret_value: str


class ChangeBody(Changes, frozen=True, kw_only=True, rename="camel"):
    workspace_id: Trimmed = ""
    project_id: Trimmed = ""
    workspace_slug: Trimmed = ""
    project_slug: Trimmed = ""
    environment: Trimmed = ""
    secret_path: Trimmed | None = None


class DeleteBody(FolderRef, frozen=True, kw_only=True, rename="camel"):
    type: SecretKind = "shared"


ItemProject = Annotated[Trimmed, msgspec.Meta(description="The project of the batch: no item can be in another one.")]
ItemEnvironment = Annotated[
    Trimmed, msgspec.Meta(description="Slug of the item's environment; default: the environment of the batch.")
]
ItemPath = Annotated[
    Trimmed, msgspec.Meta(description="Absolute path of the item's folder; default: the secretPath of the batch.")
]


class NewItem(SecretDetails, frozen=True, kw_only=True, rename="camel"):
    secret_key: str
    secret_value: str
    project_id: ItemProject = ""
    workspace_id: ItemProject = ""
    environment: ItemEnvironment = ""
    secret_path: ItemPath | None = None


class ChangeItem(Changes, frozen=True, kw_only=True, rename="camel"):
    secret_key: str
    project_id: ItemProject = ""
    workspace_id: ItemProject = ""
    environment: ItemEnvironment = ""
    secret_path: ItemPath | None = None


class DeleteItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    secret_key: str
    project_id: ItemProject = ""
    workspace_id: ItemProject = ""
    environment: ItemEnvironment = ""
    secret_path: ItemPath | None = None
    type: SecretKind = "shared"


class _Item(Protocol):
    @property
    def project_id(self) -> str: ...
    @property
    def workspace_id(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def secret_path(self) -> str | None: ...


def place_of(item: _Item, target: Target, number: int) -> ItemPlace:
    """The environment and path that an item of a batch names, None for what it leaves to the batch.

    Raises BadRequest for an item of another project, Invalid for a path that is none.
    """
    if any(id and id != target.project_id for id in (item.project_id, item.workspace_id)):
        raise BadRequest(f"A batch is for one project, and item {number} names another one")
    if "\x00" in item.environment:
        raise NotFound("There is no such environment")
    path = normal_path(item.secret_path, ("secrets", number, "secretPath")) if item.secret_path else None
    return item.environment or None, path


class CreateBatch(FolderRef, frozen=True, kw_only=True, rename="camel"):
    secrets: Annotated[list[NewItem], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class ChangeBatch(FolderRef, frozen=True, kw_only=True, rename="camel"):
    mode: Literal["failOnNotFound", "upsert", "ignore"] = "failOnNotFound"
    secrets: Annotated[list[ChangeItem], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class DeleteBatch(FolderRef, frozen=True, kw_only=True, rename="camel"):
    secrets: Annotated[list[DeleteItem], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]


class MoveBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    workspace_id: Trimmed = ""
    project_id: Trimmed = ""
    project_slug: Trimmed = ""
    source_environment: Trimmed
    source_secret_path: Trimmed = "/"  # noqa: S105 - a path
    destination_environment: Trimmed
    destination_secret_path: Trimmed = "/"  # noqa: S105 - a path
    secret_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_BATCH)]
    should_overwrite: bool = False


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    environment: Trimmed
    secret_path: Trimmed = "/"  # noqa: S105 - a path
    name: Trimmed = ""
    tag_slugs: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
