"""What the checks on `transactions` measure. `verdicts` decides what the figures mean."""
