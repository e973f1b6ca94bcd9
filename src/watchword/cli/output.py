"""The output of a command: text for people on a terminal, or one JSON object for scripts; and its exit code."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec
import rich_click as click
from click.exceptions import Exit

from watchword.cli.terminal import printable, terminal
from watchword.domain.errors import Refusal
from watchword.settings import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])
FAILED, MISUSED, WRONG_KEY, NO_DATABASE = 1, 2, 3, 4  # exit codes; 2 is also what a wrong option ends with
_META = "watchword.output"


def output_option(command: F) -> F:
    """`--output text|json` on a command."""

    def keep(ctx: click.Context, parameter: click.Parameter, value: str) -> None:
        del parameter
        ctx.meta[_META] = value

    kinds = click.Choice(["text", "json"])
    return click.option(
        "--output",
        type=kinds,
        default="text",
        show_default=True,
        is_eager=True,
        expose_value=False,
        callback=keep,
        help="For people, or one JSON object for scripts.",
    )(command)


def is_json() -> bool:
    """Whether the running command answers in JSON."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and ctx.meta.get(_META) == "json"


def say(data: Mapping[str, Any], text: Callable[["Console"], None]) -> None:
    """Answer with `data` as JSON, or with what `text` prints."""
    if is_json():
        click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
    else:
        text(terminal())


def note(text: str) -> None:
    """Print a line of progress, which is not the answer, on standard error; scripts do not get it."""
    if not is_json():
        terminal(stderr=True).print(text)


def fail(title: str, faults: Sequence[str], code: int) -> NoReturn:
    """End with every fault and an exit code."""
    if is_json():
        click.echo(msgspec.json.encode({"error": title, "faults": list(faults), "exitCode": code}).decode(), err=True)
    else:
        lines = "\n".join(f"• {fault}" for fault in faults) if len(faults) > 1 else "".join(faults)
        console = terminal(stderr=True)
        if console.is_terminal:
            from rich.panel import Panel  # noqa: PLC0415 - slow to import

            console.print(Panel(printable(lines), title=title, title_align="left", border_style="red"), markup=False)
        else:
            console.print(f"{title}:\n{lines}" if len(faults) > 1 else f"{title}: {lines}", markup=False)
    raise Exit(code)


@contextmanager
def faults() -> Iterator[None]:
    """Turn what the server raises into a message and an exit code."""
    try:
        yield
    except (click.ClickException, click.Abort, Exit):
        raise
    except SettingsError as error:
        fail("These settings do not work", error.faults, MISUSED)
    except OSError as error:
        if error.errno is None:
            raise
        named = f"{error.filename}: " if error.filename else ""
        fail("The system refused", [f"{named}{error.strerror}"], FAILED)
    except Exception as error:
        _fail_with(error)
        raise


def _fail_with(error: Exception) -> None:
    """End with the message and the exit code of what the server raised; return for what is no fault of the user."""
    # Most of the server: a command that asks one and meets no such fault does without it.
    from watchword.services.keys.keyring import WrongRootKey  # noqa: PLC0415
    from watchword.store.engine import StoreDown, Unusable  # noqa: PLC0415

    if isinstance(error, WrongRootKey):
        fail("Wrong root key", [str(error)], WRONG_KEY)
    if isinstance(error, Unusable | StoreDown):
        fail(
            "The database cannot be used", [error.message if isinstance(error, StoreDown) else str(error)], NO_DATABASE
        )
    if isinstance(error, Refusal):
        fail("That did not work", [error.message], FAILED)
