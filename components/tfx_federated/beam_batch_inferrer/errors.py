"""The error of one input shard."""


class ShardError(ValueError):
    """A shard of examples cannot be scored, for a reason that trying again does not remove."""
