"""Pages over the database, asked as the reader: findings × sites → a cell → its images → one image; and worklists."""
