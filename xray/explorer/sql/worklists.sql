-- One row per worklist, the newest first: id, name, task, n (images), readers. No parameter.
select worklist.id, worklist.name, task.name as task,
    (select count(*) from worklist_image where worklist_image.worklist_id = worklist.id) as n,
    (select count(distinct reader) from worklist_read where worklist_read.worklist_id = worklist.id) as readers,
    worklist.made_at
from worklist
join task on task.id = worklist.task_id
order by worklist.id desc
