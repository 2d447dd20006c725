"""Topics that others write and the consumer maps: each is an asset with its own figures."""
