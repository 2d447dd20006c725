"""The table `transactions` and the stream that feeds it: Dagster watches them and never writes them."""
