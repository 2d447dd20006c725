"""What the checks on `transactions` measure; what the figures mean is decided in `verdicts`."""
