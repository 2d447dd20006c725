"""Object storage: the only package that imports obstore, whose errors it translates."""
