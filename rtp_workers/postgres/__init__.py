"""The only package that imports psycopg2; its errors leave here as the project's own, sorted by SQLSTATE."""
