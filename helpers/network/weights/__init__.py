"""Data only: the weights of the small network and its model card."""
