"""The pipeline: each stage reads the results of earlier ones and writes its own."""
