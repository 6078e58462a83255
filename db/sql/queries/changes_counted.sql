-- One row: images, studies, what stands for all that was written of them (guards/changes.sql): how often, and the last time, which
-- tells a database that was loaded anew from what it was. What was read is as it was where this is as it was.
select
    concat(count(*) filter (where subject = 'images'), ' ', max(made_at) filter (where subject = 'images')) as images,
    concat(count(*) filter (where subject = 'studies'), ' ', max(made_at) filter (where subject = 'studies')) as studies
from change
