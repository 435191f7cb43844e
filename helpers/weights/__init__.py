"""The small backbone: its weights, its model card, and the scripts that made and measured them."""
