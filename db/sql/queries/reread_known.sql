-- One row per image of every plan of re-reads and reader who has read it, and one without a reader where nobody has: worklist_id,
-- position, worklist, study, reader, answer. Parameters: none.
select worklist_image.worklist_id, worklist_image.position, worklist.name as worklist, study.name as study, worklist_read.reader,
    worklist_read.answer
from reread_plan
join worklist on worklist.id = reread_plan.worklist_id
join study on study.id = reread_plan.study_id
join worklist_image on worklist_image.worklist_id = worklist.id
left join worklist_read
    on worklist_read.worklist_id = worklist_image.worklist_id and worklist_read.position = worklist_image.position
order by worklist_image.worklist_id, worklist_image.position, worklist_read.reader
