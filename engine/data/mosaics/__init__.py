"""Mosaics: boxes cut from large images of the sky at the positions of a catalogue."""
