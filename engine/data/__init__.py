"""Reading cutouts and catalogues, and making simulated ones."""
