-- One row: the ids of the incoming images, in order. Parameter: site_id. For COPY.
select array_agg(image.id order by incoming.position)
from incoming
join image on image.site_id = %(site_id)s and image.name = incoming.name
