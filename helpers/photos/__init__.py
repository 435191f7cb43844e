"""Files to RGB pixels: sources, archives, decoding, previews. No Spark."""
