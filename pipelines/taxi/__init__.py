"""Which taxi rides end with a generous tip? The companies of Chicago learn it together."""
