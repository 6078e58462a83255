-- reader_labels: one row per (dataset, image, reader, task) that a reader spoke of, of datasets that several have read.
-- Columns: dataset, image, patient, reader, task, state ('positive', 'negative', 'uncertain').
create or replace view reader_labels as
select
    dataset.name as dataset,
    image.name as image,
    image.patient,
    reader.name as reader,
    task.name as task,
    case listed.state when 1 then 'positive' when 0 then 'negative' else 'uncertain' end as state
from dataset
join image_list on image_list.id = dataset.image_list_id
join reader on reader.dataset_id = dataset.id
join reader_label on reader_label.reader_id = reader.id
join task on task.id = reader_label.task_id
cross join lateral rows from (elements(image_list.image_ids), elements(reader_label.states)) as listed (image_id, state)
join image on image.id = listed.image_id
where listed.state <> -2;
