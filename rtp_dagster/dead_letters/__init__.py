"""Dead letters: watched, and sent again."""
