-- labels: one row per (dataset, image, task) with the state that the dataset's labeller gave, and its native term.
-- Columns: dataset, image, patient, task, state ('positive', 'negative', 'uncertain', 'not mentioned'), source_term.
create or replace view labels as
select
    dataset.name as dataset,
    image.name as image,
    image.patient,
    task.name as task,
    case listed.state when 1 then 'positive' when 0 then 'negative' when -1 then 'uncertain' else 'not mentioned' end as state,
    source_term.term as source_term
from dataset
join image_list on image_list.id = dataset.image_list_id
join label on label.dataset_id = dataset.id
join task on task.id = label.task_id
cross join lateral rows from (elements(image_list.image_ids), elements(label.states), elements(label.term_ids))
    as listed (image_id, state, term_id)
join image on image.id = listed.image_id
left join source_term on source_term.id = listed.term_id;
