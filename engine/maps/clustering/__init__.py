"""Clusters: found, named, kept."""
