"""How many times sooner depth gets to a loss: on which data, at which rates, and in which plot."""
