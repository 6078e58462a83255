-- One row per image of a worklist and dataset that labels it: position, dataset, state. Parameter: id.
select worklist_image.position, dataset.name as dataset,
    case label.states[listed.place] when 1 then 'positive' when 0 then 'negative' when -1 then 'uncertain' else 'not mentioned' end
        as state
from worklist
join worklist_image on worklist_image.worklist_id = worklist.id
join image on image.id = worklist_image.image_id
join dataset on dataset.site_id = image.site_id
join image_list on image_list.id = dataset.image_list_id
cross join lateral (select array_position(image_list.image_ids, image.id) as place) as listed
join label on label.dataset_id = dataset.id and label.task_id = worklist.task_id
where worklist.id = %(id)s and listed.place is not null
order by dataset.name, worklist_image.position
