"""Figures of `make bench`: ratios against a peer, interleaved, in one run."""
