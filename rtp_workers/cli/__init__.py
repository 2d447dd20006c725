"""The `rtp` command: one module per subcommand."""
