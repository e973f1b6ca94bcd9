"""The pages of projects, in the order in which their paths are looked for."""

from watchword.web.pages import Pages
from watchword.web.projects import (
    adding,
    environments,
    folders,
    pasting,
    projects,
    secret,
    secrets,
    settings,
    tags,
)

PROJECTS: tuple[Pages, ...] = (
    projects.pages,
    secrets.pages,
    secret.pages,
    adding.pages,
    pasting.pages,
    folders.pages,
    environments.pages,
    tags.pages,
    settings.pages,
)
