-- reader_labels: what readers said that is not as long as their dataset's images; datasets with readers and no rule by which
-- its label follows from theirs, or a rule and no reader; and datasets whose rule names one who is no reader of theirs.
-- Columns: dataset, reader (NULL: the dataset itself), task, states, images, rule.
-- Then: register the dataset's files under another name.
select dataset.name as dataset, reader.name as reader, task.name as task, cardinality(reader_label.states) as states,
    image_list.length as images, dataset.reader_rule as rule
from reader_label
join reader on reader.id = reader_label.reader_id
join dataset on dataset.id = reader.dataset_id
join image_list on image_list.id = dataset.image_list_id
left join task on task.id = reader_label.task_id
where cardinality(reader_label.states) <> image_list.length
union all
select dataset.name, null, null, null, image_list.length, dataset.reader_rule
from dataset
join image_list on image_list.id = dataset.image_list_id
where (dataset.reader_rule is null) = exists (select from reader where reader.dataset_id = dataset.id)
    or dataset.reader_rule not in ('majority', 'any', 'all')
    and not exists (select from reader where reader.dataset_id = dataset.id and reader.name = dataset.reader_rule)
