"""Points in the order of tiles, and sums a pixel of those in view."""
