"""Objects unlike the others: scores of strangeness that need no label, and their re-weighting by what a person thinks.

`scoring` computes and keeps the scores, by way of `isolation` (random cuts), `density` (distances to the shared
neighbours), `residual` (what the representation cannot draw) and `spread` (distance from the bulk); `reweighting`
moves them by labels, `listing` gives the strangest.
"""
