-- One row: images, studies, how often what is known of them was written (guards/changes.sql). What was read is as it was where its
-- count is as it was.
select count(*) filter (where subject = 'images') as images, count(*) filter (where subject = 'studies') as studies
from change
