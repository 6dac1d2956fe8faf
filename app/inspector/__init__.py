"""One object, large."""
