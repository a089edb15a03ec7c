"""Statistics over silos: NumPy vectors with one entry per silo in, the same out."""
