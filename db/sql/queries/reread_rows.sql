-- One row per image of these worklists that plans drew, in the order in which it is read: worklist_id, position, worklist, task,
-- reference (the dataset by whose rules it is read), image, path (of its file; NULL where there is none here).
-- Parameter: worklist_ids.
select worklist.id as worklist_id, worklist_image.position, worklist.name as worklist, task.name as task,
    dataset.name as reference, image.name as image, image.path
from reread_plan
join worklist on worklist.id = reread_plan.worklist_id
join task on task.id = worklist.task_id
join cohort on cohort.id = reread_plan.reference_cohort_id
join dataset on dataset.id = cohort.dataset_id
join worklist_image on worklist_image.worklist_id = worklist.id
join image on image.id = worklist_image.image_id
where worklist.id = any(:worklist_ids)
order by worklist.id, worklist_image.position
