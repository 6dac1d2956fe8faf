"""Clusters: read, listed in the rail, and named on the map."""
