-- One row per (dataset, column of its label files) that says something of an image: dataset, native_column, value. Parameter: id.
select dataset.name as dataset, native_column.name as native_column,
    native_column.terms[native_column.codes[listed.place]] as value
from image
join dataset on dataset.site_id = image.site_id
join image_list on image_list.id = dataset.image_list_id
cross join lateral (select array_position(image_list.image_ids, image.id) as place) as listed
join native_column on native_column.dataset_id = dataset.id
where image.id = %(id)s and listed.place is not null and native_column.terms[native_column.codes[listed.place]] <> ''
order by dataset.id, native_column.position
