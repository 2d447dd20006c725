"""Programs that run in the virtual environments of the peers, not in ours."""
