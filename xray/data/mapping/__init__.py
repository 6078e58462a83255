"""A hospital's own table: which column is which, what its words mean, and what was made of it."""
