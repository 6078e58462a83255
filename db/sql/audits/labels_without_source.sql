-- labels_without_source: labels of which the term in the label file is not kept, or is another dataset's; and datasets that
-- don't say where they come from.
-- Columns: dataset, task (NULL: the dataset itself), labels (how many).
-- Then: register the dataset's files under another name.
select dataset.name as dataset, task.name as task, found.labels
from label
join dataset on dataset.id = label.dataset_id
join task on task.id = label.task_id
cross join lateral (
    select count(*) as labels
    from unnest(label.states, label.term_ids) as listed (state, term_id)
    left join source_term on source_term.id = listed.term_id and source_term.dataset_id = label.dataset_id
    where listed.state <> -2 and source_term.id is null
) as found
where found.labels > 0
union all
select dataset.name, null, null from dataset where btrim(dataset.source) = '' or btrim(dataset.content_hash) = ''
