-- native_cells: one row per (dataset, image, native column) that is not empty: what the label files say, as they say it.
-- Columns: dataset, image, native_column, value.
create or replace view native_cells as
with term as (
    select native_column.dataset_id, native_column.name, listed.value, listed.code
    from native_column
    cross join lateral unnest(native_column.terms) with ordinality as listed (value, code)
    where listed.value <> ''
)
select dataset.name as dataset, image.name as image, native_column.name as native_column, term.value
from native_column
join dataset on dataset.id = native_column.dataset_id
join image_list on image_list.id = dataset.image_list_id
cross join lateral unnest(image_list.image_ids, native_column.codes) as listed (image_id, code)
join term on term.dataset_id = native_column.dataset_id and term.name = native_column.name and term.code = listed.code
join image on image.id = listed.image_id;
