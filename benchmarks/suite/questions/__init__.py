"""The questions of the suite: each module declares its trainings and makes one table, one figure and sentences."""

from __future__ import annotations
