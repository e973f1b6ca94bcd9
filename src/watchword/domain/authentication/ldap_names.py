"""How a directory compares names: the string preparation of RFC 4518 (LDAP), with today's Unicode."""

import unicodedata
from typing import Final

# What says nothing in a name although its category does not show it (RFC 4518, 2.2, and Unicode's
# Default_Ignorable_Code_Point): the grapheme joiner, Hangul fillers, Khmer inherent vowels, variation selectors, the
# replacement of an object.
_SILENT: Final = frozenset(
    map(
        chr,
        (
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            0x3164,
            0xFFA0,
            0xFFFC,
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
        ),
    )
)
_SPACES: Final = frozenset("\t\n\v\f\r\x85")


def directory_name(text: str) -> str:
    """The one form of all spellings that a directory takes for the same name.

    Width, compatibility forms and case are folded, characters that say nothing are left out, outer spaces go and inner
    ones are one (RFC 4518, 2.1 to 2.6). Names that differ here may still be one entry to a directory with rules of its
    own.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFD", _mapped(text)).casefold()
    # Folding may bring what can be decomposed again, and the reverse: the order is that of a compatibility match
    # (Unicode, D146).
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())
    return " ".join(unicodedata.normalize("NFKC", _mapped(folded)).split())


def _mapped(text: str) -> str:
    """The text with separators as spaces, and without characters that say nothing (RFC 4518, 2.2)."""
    mapped: list[str] = []
    for char in text:
        kind = unicodedata.category(char)
        if char in _SPACES or kind in ("Zs", "Zl", "Zp"):
            mapped.append(" ")
        elif kind not in ("Cc", "Cf") and char not in _SILENT and not "\U000e0000" <= char < "\U000e1000":
            mapped.append(char)
    return "".join(mapped)
