-- Makes the table into which the images of a dataset are copied before they are compared with those of the site.
create temporary table incoming (
    position serial, name text, patient text, original text, content_hash text, perceptual_hash text, path text, view text,
    age real, sex text
) on commit drop
