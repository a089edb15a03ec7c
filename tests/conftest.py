"""Property tests draw the same examples in every run, so that one commit does not pass once and fail once.

`--hypothesis-profile=default` draws others.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
