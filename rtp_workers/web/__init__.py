"""What both services share: the guard, problem+json, server-sent events, static files, and the server in its thread."""
