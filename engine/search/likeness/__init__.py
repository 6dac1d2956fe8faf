"""Likeness: in which space it is reckoned, how one pass finds the best exactly, and what can be asked for besides objects."""
