-- label_length: label states, or the terms behind them, that are not as many as the images of their dataset.
-- Columns: dataset, task, states, terms, images.
-- Then: register the dataset's files under another name; a label vector of another length means nothing.
select dataset.name as dataset, task.name as task, cardinality(label.states) as states, cardinality(label.term_ids) as terms,
    image_list.length as images
from label
join dataset on dataset.id = label.dataset_id
join image_list on image_list.id = dataset.image_list_id
left join task on task.id = label.task_id
where cardinality(label.states) <> image_list.length or cardinality(label.term_ids) <> image_list.length
