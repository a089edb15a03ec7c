"""The folder of each silo, in the layout of Hive: `silo=<escaped silo>`."""

from __future__ import annotations

import hashlib
import urllib.parse

# What Hive, Spark, Arrow and DuckDB read as "no value".
_NO_SILO = "__HIVE_DEFAULT_PARTITION__"
_PREFIX = "silo="
# The longest file name of ext4, xfs, NFS and blobfuse2, in bytes.
_MAXIMUM_NAME_BYTES = 255
# `quote` always escapes `@`: an unescaped one cannot come from a silo id, so no id can name another's folder.
_DIGEST_MARK = "@"


def folder_name(silo: str | None) -> str:
    """Returns the name of the folder that holds the rows of a silo.

    Different silos have different folders. Readers of Hive partitions unescape the name to the silo id, save for two
    kinds of id whose folder ends in `@` and a SHA-256 digest: one too long for a file name, and the reserved word
    `__HIVE_DEFAULT_PARTITION__` itself. The manifest maps every folder to its exact id. Ids that differ only by case
    need a file system that tells them apart.

    Args:
        silo: The silo id, any text; None for rows without a silo.

    Returns:
        An ASCII name of at most 255 characters, without `/`.
    """
    if silo is None:
        return _PREFIX + _NO_SILO
    name = _PREFIX + _escape(silo)
    if silo != _NO_SILO and len(name) <= _MAXIMUM_NAME_BYTES:
        return name
    suffix = _DIGEST_MARK + hashlib.sha256(silo.encode("utf-8")).hexdigest()
    return _PREFIX + _escaped_beginning(silo, _MAXIMUM_NAME_BYTES - len(_PREFIX) - len(suffix)) + suffix


def _escape(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _escaped_beginning(silo: str, maximum: int) -> str:
    """Escapes as many whole characters as fit: half an escape sequence would not be UTF-8 to a reader."""
    beginning = silo[:maximum]
    while len(_escape(beginning)) > maximum:
        beginning = beginning[:-1]
    return _escape(beginning)
