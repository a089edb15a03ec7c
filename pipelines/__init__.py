"""Pipelines to copy: one folder per data set, one definition, two runners."""
