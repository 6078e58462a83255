-- One row per worklist, the newest last: worklist, task, images, made_at, read (each reader with the number of images read).
select worklist.name as worklist, task.name as task,
    (select count(*) from worklist_image where worklist_image.worklist_id = worklist.id) as images,
    to_char(worklist.made_at, 'YYYY-MM-DD HH24:MI') as made_at,
    (
        select string_agg(format('%s: %s', counted.reader, counted.n), ', ' order by counted.reader)
        from (
            select worklist_read.reader, count(*) as n from worklist_read
            where worklist_read.worklist_id = worklist.id group by worklist_read.reader
        ) as counted
    ) as read
from worklist
join task on task.id = worklist.task_id
order by worklist.id
