-- One row per (finding, dataset) that speaks of an image: task, dataset, state, source_term. Parameter: id.
select task.name as task, dataset.name as dataset,
    case label.states[listed.place] when 1 then 'positive' when 0 then 'negative' when -1 then 'uncertain' else 'not mentioned' end
        as state,
    source_term.term as source_term
from image
join dataset on dataset.site_id = image.site_id
join image_list on image_list.id = dataset.image_list_id
cross join lateral (select array_position(image_list.image_ids, image.id) as place) as listed
join label on label.dataset_id = dataset.id
join task on task.id = label.task_id
left join source_term on source_term.id = label.term_ids[listed.place]
where image.id = %(id)s and listed.place is not null
order by task.id, dataset.id
