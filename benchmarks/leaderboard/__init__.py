"""Tuned peers on real data: same split, same budget of trials, full catalogue, repeats kept where people repeat."""
