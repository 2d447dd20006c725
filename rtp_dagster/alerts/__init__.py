"""What goes wrong, told where people are: a message to a chat or to any JSON endpoint."""
