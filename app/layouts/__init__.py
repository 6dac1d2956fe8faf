"""Layouts: those there are, the dialog that makes one, and one as it grows."""
