"""What one cell is: an amount, a date, a country, a currency, a word for debit or credit. Does not look at columns."""
