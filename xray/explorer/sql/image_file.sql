-- One row: where the picture of an image is, and what it shows: path, content_hash. Parameter: id.
select path, content_hash from image where id = %(id)s
