-- One row: a worklist: id, name, task, source, made_at, n (images). Parameter: id.
select worklist.id, worklist.name, task.name as task, worklist.source, worklist.made_at,
    (select count(*) from worklist_image where worklist_image.worklist_id = worklist.id) as n
from worklist
join task on task.id = worklist.task_id
where worklist.id = %(id)s
