"""Where TFF runs its computations."""
