"""Texts of strangers, such as names of files, on a line of their own: what cannot be seen is written as an escape."""

from __future__ import annotations

import logging


def visible(text: str) -> str:
    """Return a text with escapes in place of what moves a terminal's cursor or hides letters; names may hold that.

    Bytes of names that are not UTF-8 stay what they are.
    """
    kept = (char if char.isprintable() or "\udc80" <= char <= "\udcff" else ascii(char)[1:-1] for char in text)
    return "".join(kept)


class OneLine(logging.Formatter):
    """Formats a record as one line, whatever the names in it hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return visible(super().format(record))
