"""Reports problems where people see them: in a chat, or at any endpoint that takes JSON."""
