"""Our figures next to raw COPY, raw produce and raw consume, measured in one run on the same records."""
