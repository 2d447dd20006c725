"""Other people's topics: documents of any shape become the same COPY lines as our own records."""
