"""Pictures: thumbnails, decoded pixels, and the panel of the stretch."""
