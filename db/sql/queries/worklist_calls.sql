-- One row per image of a worklist that was read: site, synthetic (of the site), image, patient, view, age, sex, task, and, in the
-- same order, readers, answers, times. Parameter: worklist.
select site.name as site, site.synthetic, image.name as image, image.patient, image.view, image.age, image.sex, task.name as task,
    array_agg(worklist_read.reader order by worklist_read.reader) as readers,
    array_agg(worklist_read.answer order by worklist_read.reader) as answers,
    array_agg(to_char(worklist_read.read_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') order by worklist_read.reader) as times
from worklist
join task on task.id = worklist.task_id
join worklist_image on worklist_image.worklist_id = worklist.id
join worklist_read
    on worklist_read.worklist_id = worklist.id and worklist_read.position = worklist_image.position
join image on image.id = worklist_image.image_id
join site on site.id = image.site_id
where worklist.name = :worklist
group by site.id, image.id, task.id
order by image.name
