"""Runs the shell lines that pages show as the text of an act: curl and jq as these lines use them, without a shell."""

import html
import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

import httpx

from tests.api import Api
from tests.web.browser import Browser, Seen

_CALL = re.compile(r"(?:(?P<name>\w+)=\$\()?(?P<curl>curl .*?)(?: \| jq -r '(?P<where>[^']+)'\))?", re.DOTALL)
_DATA = re.compile(r'--data "\$\(jq -n (?P<jq>.*)\)"$', re.DOTALL)
_PLACE = re.compile(r"\$(\w+)")


def written(page: Seen, slug: str = "api") -> str:
    """What a page shows as the text of an act."""
    found = re.search(rf'<pre class="code wrap" id="{slug}-[^"]*"[^>]*>(.*?)</pre>', page.html, re.DOTALL)
    assert found is not None, page.text
    return html.unescape(found[1])


async def text_of(browser: Browser, action: str, values: Any, slug: str = "api") -> str:
    """The text of an act, whose form is sent with these values."""
    pairs = list(values.items()) if isinstance(values, Mapping) else list(values)
    page = await browser.post(action, [*pairs, ("as_text", "1")], hx_request="true")
    assert page.status == 200, page.text
    return written(page, slug)


async def run(api: Api, script: str, **given: str) -> list[Any]:
    """Make the calls of a script; what they answer. `given` are the values that it asks for."""
    variables, answers = dict(given), []
    blocks = re.split(r"^# .*\n", script, flags=re.MULTILINE)
    for line in blocks[0].splitlines():
        name = re.fullmatch(r"read -rs (\w+)   # type or paste it: nothing is echoed", line)
        assert name is not None and name[1] in variables, line
    for block in blocks[1:]:
        call = _CALL.fullmatch(block.strip())
        assert call is not None, block
        answer = await _called(api, call["curl"], variables)
        if call["name"]:
            value: Any = answer
            for part in call["where"].strip(".").split("."):
                value = value[part]
            variables[call["name"]] = value
        answers.append(answer)
    return answers


async def _called(api: Api, command: str, variables: Mapping[str, str]) -> Any:
    data = _DATA.search(command)
    body = None
    if data is not None:
        command, body = command[: data.start()], _made(data["jq"], variables)
    words = shlex.split(command)
    assert words[:3] == ["curl", "-fsS", "-X"], words
    method, url, rest = words[3], words[4], words[5:]
    headers = [rest[i + 1] for i, word in enumerate(rest) if word == "-H"]
    assert "Authorization: Bearer $WATCHWORD_TOKEN" in headers
    if "--data" in rest:
        body = rest[rest.index("--data") + 1]
    path = _PLACE.sub(
        lambda found: variables[found[1]], httpx.URL(url.replace("$", "%24")).raw_path.decode().replace("%24", "$")
    )
    reply = await api.client.request(
        method,
        path,
        content=body,
        headers={"authorization": f"Bearer {api.token}"} | ({"content-type": "application/json"} if body else {}),
    )
    assert reply.status_code == 200, (method, path, body, reply.text)
    return reply.json()


def _made(text: str, variables: Mapping[str, str]) -> str:
    words = shlex.split(text)
    own: dict[str, str] = {}
    while words[0] == "--arg":
        own[words[1]] = variables[words[2].removeprefix("$")]
        words = words[3:]
    [template] = words
    return re.sub(r"(?m)(: |^\s+)\$(\w+)(?=,?$)", lambda found: found[1] + json.dumps(own[found[2]]), template)
