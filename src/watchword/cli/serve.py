"""`watchword serve`: run a server."""

import os
from pathlib import Path

import rich_click as click
import uvicorn
import uvloop

from watchword.app import Server, house, opened, start_logs
from watchword.settings import Settings, load


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
@click.option("--data-dir", type=Path, help="Folder of the embedded database.")
@click.option("--workers", type=int, help="Server processes (more than one needs PostgreSQL).")
def serve(host: str | None, port: int | None, data_dir: Path | None, workers: int | None) -> None:
    """Run a server."""
    settings = load(os.environ, {"host": host, "port": port, "data_dir": data_dir, "workers": workers})
    start_logs(settings)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    async with opened(house(settings)) as parts:
        config = uvicorn.Config(
            Server(parts), host=settings.host, port=settings.port, http="httptools", lifespan="off", access_log=False, log_config=None,
            timeout_graceful_shutdown=settings.shutdown_grace, server_header=False, date_header=True, proxy_headers=False,
        )  # fmt: skip
        await uvicorn.Server(config).serve()
