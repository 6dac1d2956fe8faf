"""The hunt: verdicts in, rankings out."""
