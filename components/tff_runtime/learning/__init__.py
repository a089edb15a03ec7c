"""Learning processes, and the loop that runs them round by round."""
