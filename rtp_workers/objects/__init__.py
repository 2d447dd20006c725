"""Object storage: the only package that imports obstore. It translates obstore's errors into the project's own."""
