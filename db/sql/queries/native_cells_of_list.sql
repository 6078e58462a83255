-- One row or none: the cells of one native column of a dataset for a list of its images, in the list's order: cells (NULL where
-- empty). None where the dataset has no such column. Parameters: dataset (name), native_column, image_list_id.
with cell as (
    select listed.image_id, native_column.terms[listed.code] as value
    from dataset
    join native_column on native_column.dataset_id = dataset.id and native_column.name = :native_column
    join image_list on image_list.id = dataset.image_list_id
    cross join lateral unnest(image_list.image_ids, native_column.codes) as listed (image_id, code)
    where dataset.name = :dataset
),
ordered as (
    select listed.position, nullif(min(cell.value), '') as value
    from image_list
    cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
    left join cell on cell.image_id = listed.image_id
    where image_list.id = :image_list_id
    group by listed.position
)
select array_agg(value order by position) as cells from ordered where exists (select from cell)
having count(*) > 0
