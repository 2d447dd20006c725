"""The only package that imports psycopg2. It translates psycopg2's errors into the project's own, by SQLSTATE."""
