"""The pages of projects, in the order in which their paths are looked for."""

from watchword.web.pages import Pages
from watchword.web.projects import (
    adding,
    cells,
    environments,
    folders,
    imports,
    key,
    pasting,
    projects,
    secret,
    secrets,
    settings,
    tags,
    webhooks,
)

PROJECTS: tuple[Pages, ...] = (
    projects.pages,
    secrets.pages,
    cells.pages,
    secret.pages,
    key.pages,
    adding.pages,
    pasting.pages,
    folders.pages,
    imports.pages,
    environments.pages,
    tags.pages,
    webhooks.pages,
    settings.pages,
)
