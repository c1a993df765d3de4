"""From the object to the arrays a model reads: sequence codes, features, padding masks."""
