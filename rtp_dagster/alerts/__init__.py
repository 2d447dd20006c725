"""Reports what goes wrong to where people are: a message to a chat or to any JSON endpoint."""
