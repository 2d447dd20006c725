"""Dead letters: a sensor that watches them and a job that sends them again."""
