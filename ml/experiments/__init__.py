"""Recipes as data, and what is done with many of them."""
