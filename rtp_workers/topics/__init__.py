"""Topics as people have them: documents of any shape become the same COPY lines as our own records."""
