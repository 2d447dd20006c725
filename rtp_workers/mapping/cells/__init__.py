"""What one cell is: an amount, a date, a country, a currency, a word for debit or credit. Knows nothing of columns."""
