"""Derive the kind of client from a User-Agent header."""

from typing import Final

EXACT: Final = ("cli", "k8-operator", "terraform")
INSIDE: Final = ("InfisicalNodeSDK", "InfisicalPythonSDK")
BROWSER: Final = "mozilla"


def agent_kind(agent: str | None) -> str:
    """One of `EXACT`, `web`, one of `INSIDE`, or `other`. `store/audit/queries.py` asks a database the same."""
    text = agent or ""
    if text in EXACT:
        return text
    if BROWSER in text.lower():
        return "web"
    return next((name for name in INSIDE if name in text), "other")
