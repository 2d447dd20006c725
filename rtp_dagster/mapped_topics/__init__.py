"""Topics of others, which the consumer maps: an asset for each, with its own figures."""
