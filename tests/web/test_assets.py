"""Files that the pages load."""

import gzip
import hashlib
from pathlib import Path

from tests.api import Api
from watchword.web import assets

STATIC = Path(assets.__file__).parent / "static"
VENDOR = STATIC / "vendor"


def test_what_is_not_ours_is_as_its_packages_have_it() -> None:
    lines = [line.split(maxsplit=1) for line in (VENDOR / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    files = {str(file.relative_to(VENDOR)) for folder in ("htmx", "lucide") for file in (VENDOR / folder).iterdir()}
    assert files == set(sums)
    for name, digest in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


async def test_a_file_may_be_kept_because_its_name_holds_its_hash(api: Api) -> None:
    path = assets.path_of("console.css")
    reply = await api.client.get(path, headers={"accept-encoding": "gzip"})
    assert reply.status_code == 200 and "immutable" in reply.headers["cache-control"]
    assert reply.headers["content-type"].startswith("text/css") and reply.headers["content-encoding"] == "gzip"
    plain = await api.client.get(path, headers={"accept-encoding": "identity"})
    assert plain.content == (STATIC / "console.css").read_bytes() == reply.content
    again = {"if-none-match": plain.headers["etag"], "accept-encoding": "identity"}
    assert (await api.client.get(path, headers=again)).status_code == 304


async def test_a_file_of_another_release_is_not_answered_with_this_ones(api: Api) -> None:
    assert (await api.client.get("/assets/console-000000000000.css")).status_code == 404
    assert (await api.client.get("/assets/..%2fconsole.py")).status_code == 404


def test_the_scripts_of_our_own_are_small() -> None:
    own = b"".join((STATIC / name).read_bytes() for name in ("console.js", "theme.js"))
    assert len(own) < 6 * 1024


def test_the_style_sheet_is_small() -> None:
    """What every page needs: about 20 KB as it is written, and a quarter of that over the wire."""
    sheet = (STATIC / "console.css").read_bytes()
    assert len(sheet) < 28 * 1024
    assert len(gzip.compress(sheet, mtime=0)) < 8 * 1024


def test_the_icons_are_one_file() -> None:
    sprite = assets.find(assets.path_of("icons.svg").removeprefix("/assets/")).body.decode()
    assert sprite.count("<symbol") == len(assets.icon_names()) and "<script" not in sprite
