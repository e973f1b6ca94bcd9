"""`watchword`: the commands, put together."""

import rich_click as click

from watchword import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="watchword")
def main() -> None:
    """The server that gives every workload an identity."""


def _add_all() -> None:
    from watchword.cli.serve import serve

    main.add_command(serve)


_add_all()
