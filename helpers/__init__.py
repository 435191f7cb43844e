"""Photos of fruit become CNN features, a principal component analysis and a classifier."""
