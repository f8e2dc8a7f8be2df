"""Text from outside, made safe to show: what would act on a screen or a reader, instead of being read, is spelt out."""

import re
from unicodedata import category

_SUSPECT = re.compile(r"\r\n|[^\t\n -~]")
_JOINERS = "\u200c\u200d"


def escape_controls(text: str) -> str:
    r"""Spell out control, format and bidirectional characters, line separators and halves of surrogate pairs.

    They are those of the Unicode categories Cc, Cf, Cs, Zl and Zp. Tabs and line ends (``\n``, ``\r\n``) stay, and so
    do the two joiners that words of Persian or Hindi and many emoji are written with. All else is given back as it is,
    backslashes too: the result is for reading, and cannot be turned back.

    >>> print(escape_controls("x = 5\x1b[2K is right\u202e, not wrong\n"), end="")
    x = 5\x1b[2K is right\u202e, not wrong
    """
    return _SUSPECT.sub(lambda found: _spell(found[0]), text)


def _spell(found: str) -> str:
    if found == "\r\n" or found in _JOINERS or category(found) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return found
    code = ord(found)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
