"""The table `transactions` and the stream that feeds it: watched, not written."""
