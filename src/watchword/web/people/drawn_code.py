"""A QR code, drawn as the path of an inline SVG."""

import msgspec


class DrawnCode(msgspec.Struct, frozen=True, kw_only=True):
    """A QR code (ISO/IEC 18004) with its quiet zone: the modules of a side, and the path of the dark ones."""

    size: int
    path: str


_BORDER = 4  # modules that must be left white around a code


def draw(text: str) -> DrawnCode:
    """Draw a text, so that a camera reads it from a screen."""
    import segno  # noqa: PLC0415 - only where a code is shown

    rows = segno.make_qr(text, error="m").matrix
    path = "".join(
        f"M{x + _BORDER},{y + _BORDER}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
    return DrawnCode(size=len(rows) + 2 * _BORDER, path=path)
