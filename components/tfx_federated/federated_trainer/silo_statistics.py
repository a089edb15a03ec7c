"""Statistics of each silo's rows, computed in one pass over all rows with little memory.

The rows of all silos lie one after the other, so that a piece of the array is cut at the silos' borders and reduced by
`reduceat`: no step depends on the number of silos.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from tff_runtime import job as job_lib

# The first and the last label that is counted on its own.
FIRST_CLASS, LAST_CLASS = -1, 64
_CLASSES = LAST_CLASS - FIRST_CLASS + 1
_VALUES_PER_PIECE = 1 << 20


class Moments:
    """Count, mean and spread of the values of each silo and column, each of shape (silos, columns).

    Pieces are merged by the formula of Chan, Golub and LeVeque (The American Statistician 37, 1983), which loses no
    digits where the mean is large.

    Attributes:
        count: Number of values.
        mean: Their mean; 0 without values.
    """

    def __init__(self, silos: int, columns: int) -> None:
        """Starts without values."""
        self.count = np.zeros((silos, columns))
        self.mean = np.zeros((silos, columns))
        self._squares = np.zeros((silos, columns))

    def deviation(self) -> np.ndarray:
        """Returns the standard deviation; 0 for fewer than two values."""
        return np.sqrt(self._squares / np.maximum(self.count - 1, 1))

    def add(self, values: np.ndarray, counted: np.ndarray, piece: _Piece) -> None:
        """Adds the values of a piece that are to be counted; both of shape (rows, columns)."""
        counted_values = np.where(counted, values, 0.0)
        count = piece.sum(counted)
        mean = piece.sum(counted_values) / np.maximum(count, 1)
        distance = np.where(counted, counted_values - piece.spread(mean), 0.0)
        silos = piece.silos
        total = self.count[silos] + count
        share = count / np.maximum(total, 1)
        step = mean - self.mean[silos]
        self._squares[silos] += piece.sum(distance * distance) + step * step * self.count[silos] * share
        self.mean[silos] += step * share
        self.count[silos] = total


class SiloStatistics:
    """What is known of one feature, or of the label, in each silo.

    Attributes:
        rows: Rows of each silo, of shape (silos, 1).
        values: Of the finite values.
        logarithms: Of log |value| of the finite values other than 0.
        not_binary: Finite values other than 0 and 1, of shape (silos, columns).
        repeated: Finite values that equal the one in the middle of the silo, of shape (silos, columns): all, where
            a column is constant. Of two values taken at random, about `repeated / rows` are equal.
        classes: Of a single column that is said to hold classes: how often each silo has each value from `FIRST_CLASS`
            to `LAST_CLASS`, and last how often anything else; of shape (silos, classes + 1). None otherwise.
    """

    def __init__(
        self, path: str | os.PathLike[str], silos: Sequence[job_lib.SiloRows], has_classes: bool = False
    ) -> None:
        """Reads the array.

        Args:
            path: A `.npy` file of shape (rows, *shape), the rows of the silos in their order.
            silos: The silos, each with at least one row.
            has_classes: Whether to count values one by one; ignored where a row has several.
        """
        starts, rows = (np.array([getattr(silo, name) for silo in silos]) for name in ("start", "count"))
        shape = np.load(path, mmap_mode="r").shape
        columns = int(np.prod(shape[1:]))
        self.rows = rows[:, np.newaxis]
        self.values, self.logarithms = Moments(len(silos), columns), Moments(len(silos), columns)
        self.not_binary, self.repeated = np.zeros((len(silos), columns)), np.zeros((len(silos), columns))
        self.classes = np.zeros((len(silos), _CLASSES + 1), np.int64) if has_classes and columns == 1 else None
        reference = _read(path, starts + rows // 2, columns)
        for piece in _pieces(starts, int(starts[-1] + rows[-1]), columns):
            self._add(_read(path, slice(piece.start, piece.end), columns), reference, piece)

    def _add(self, values: np.ndarray, reference: np.ndarray, piece: _Piece) -> None:
        finite = np.isfinite(values)
        nonzero = finite & (values != 0)
        self.values.add(values, finite, piece)
        self.logarithms.add(np.log(np.abs(values), where=nonzero, out=np.zeros_like(values)), nonzero, piece)
        self.not_binary[piece.silos] += piece.sum(nonzero & (values != 1))
        self.repeated[piece.silos] += piece.sum(finite & (values == piece.spread(reference[piece.silos])))
        if self.classes is not None:
            counted = finite & (values >= FIRST_CLASS) & (values <= LAST_CLASS) & (values == np.round(values))
            number = np.where(counted, values - FIRST_CLASS, _CLASSES).astype(np.int64)[:, 0]
            here = self.classes[piece.silos]
            cells = np.repeat(np.arange(len(here)) * here.shape[1], piece.lengths) + number
            here += np.bincount(cells, minlength=here.size).reshape(here.shape)


class _Piece:
    """Rows from `start` up to `end`, which belong to the silos of the slice `silos`."""

    def __init__(self, start: int, end: int, starts: np.ndarray) -> None:
        first, last = np.searchsorted(starts, [start, end - 1], side="right") - 1
        self.start, self.end = start, end
        self.silos = slice(int(first), int(last) + 1)
        self._borders = np.maximum(starts[self.silos], start) - start
        self.lengths = np.diff(self._borders, append=end - start)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Returns the sums of the rows of each silo."""
        return np.add.reduceat(values, self._borders, axis=0, dtype=np.float64)

    def spread(self, of_silos: np.ndarray) -> np.ndarray:
        """Returns the value of its silo for each row."""
        return np.repeat(of_silos, self.lengths, axis=0)


def _pieces(starts: np.ndarray, end: int, columns: int) -> Iterator[_Piece]:
    rows = max(1, _VALUES_PER_PIECE // max(1, columns))
    for start in range(int(starts[0]), end, rows):
        yield _Piece(start, min(start + rows, end), starts)


def _read(path: str | os.PathLike[str], rows: slice | np.ndarray, columns: int) -> np.ndarray:
    # Opened anew each time: a memory map that stays open counts all that was ever read of it as memory of the process.
    values = np.load(path, mmap_mode="r")[rows]
    return values.reshape(len(values), columns).astype(np.float64)
