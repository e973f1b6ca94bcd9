"""Secret: a text whose `repr` does not reveal it."""

from typing import Any


class Secret:
    """Text that must not reach a log, an error or a repr; `reveal()` is the one way to read it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def decode_secret(kind: type, value: Any) -> Any:
    """Msgspec's `dec_hook`: a Secret travels inward as a string."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


def encode_masked(value: Any) -> Any:
    """Msgspec's `enc_hook` for everything that leaves: a Secret shows only that it is one."""
    if isinstance(value, Secret):
        return "***" if value else ""
    raise TypeError(f"cannot encode {type(value).__name__}")
