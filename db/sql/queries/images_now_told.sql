-- One row: does an incoming image tell what the site did not know of who or what it shows? Parameter: site_id.
select exists (
    select from incoming
    join image on image.site_id = :site_id and image.name = incoming.name
    where
        (image.content_hash is null and incoming.content_hash is not null)
        or (image.patient is null and incoming.patient is not null)
        or (image.original is null and incoming.original is not null)
)
