-- One row: the first incoming image that the site has with another picture, patient or original: name. Parameter: site_id.
select image.name
from incoming
join image on image.site_id = :site_id and image.name = incoming.name
where
    image.content_hash <> incoming.content_hash
    or image.patient <> incoming.patient
    or image.original <> incoming.original
order by incoming.position
limit 1
