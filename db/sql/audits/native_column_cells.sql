-- native_column_cells: columns of label files whose cells are not as many as the images of their dataset, or name no term.
-- Columns: dataset, native_column, cells, images, terms, lowest, highest (code of a cell).
-- Then: register the dataset's files under another name.
select dataset.name as dataset, native_column.name as native_column, cardinality(native_column.codes) as cells,
    image_list.length as images, cardinality(native_column.terms) as terms, listed.lowest, listed.highest
from native_column
join dataset on dataset.id = native_column.dataset_id
join image_list on image_list.id = dataset.image_list_id
cross join lateral (select min(code) as lowest, max(code) as highest from unnest(native_column.codes) as code) as listed
where cardinality(native_column.codes) <> image_list.length or listed.lowest < 1
    or listed.highest > cardinality(native_column.terms) or array_position(native_column.codes, null) is not null
