"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.dsl.io import fileio


def require_empty(uri: str, output: str) -> None:
    """Refuses an output folder that already holds something.

    Args:
        uri: The folder; it may be missing.
        output: Name of the component's output, for the message.

    Raises:
        FileExistsError: The folder holds files.
    """
    if fileio.exists(uri) and fileio.listdir(uri):
        raise FileExistsError(
            f"output {output!r}: the folder {uri} is not empty; a former run wrote it: remove it, or run the "
            f"pipeline with "
            "a new pipeline root"
        )


def write_text(uri: str, text: str) -> None:
    """Writes a UTF-8 file under a temporary name and renames it, so that no reader ever sees a part of it."""
    temporary = f"{uri}.partial-{os.getpid()}"
    try:
        with fileio.open(temporary, "wb") as file:
            file.write(text.encode("utf-8"))
        fileio.rename(temporary, uri, overwrite=True)
    except BaseException:
        if fileio.exists(temporary):
            fileio.remove(temporary)
        raise


def write_json(uri: str, value: Any) -> None:
    """Writes a value as JSON (strict: NaN and infinity are refused) by `write_text`."""
    write_text(uri, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(uri: str) -> Any:
    """Reads a JSON file."""
    with fileio.open(uri, "rb") as file:
        return json.loads(file.read().decode("utf-8"))
