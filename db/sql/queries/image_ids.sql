-- One row: the image ids of a list, in order. Parameter: image_list_id. For COPY.
select image_ids from image_list where id = %(image_list_id)s
