-- reads: one row per (worklist, image, reader): what a person who read an image again, blind, said of the worklist's finding.
-- Columns: worklist, task, site, image, position (in the worklist), reader, answer ('yes', 'no', 'unsure'), comment, read_at.
create or replace view reads as
select
    worklist.name as worklist,
    task.name as task,
    site.name as site,
    image.name as image,
    worklist_read.position,
    worklist_read.reader,
    worklist_read.answer,
    worklist_read.comment,
    worklist_read.read_at
from worklist_read
join worklist on worklist.id = worklist_read.worklist_id
join worklist_image on worklist_image.worklist_id = worklist_read.worklist_id and worklist_image.position = worklist_read.position
join task on task.id = worklist.task_id
join image on image.id = worklist_image.image_id
join site on site.id = image.site_id;
