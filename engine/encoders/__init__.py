"""From cutouts to representations."""
