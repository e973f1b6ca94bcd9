"""Data keys in the database, and the rows that hold what is sealed with them."""
