-- One row per distinct cell of a native column that lies between two texts: cell. Parameters: dataset, column, value_from, value_to.
select distinct listed.cell
from native_column
join dataset on dataset.id = native_column.dataset_id
cross join lateral unnest(native_column.terms) as listed (cell)
where dataset.name = %(dataset)s and native_column.name = %(column)s
    and listed.cell >= %(value_from)s -- if value_from
    and listed.cell <= %(value_to)s -- if value_to
