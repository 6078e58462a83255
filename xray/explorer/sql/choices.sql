-- One row per value that images can be filtered by: kind (view, sex, column), dataset, value. A column is one of label files.
select 'view' as kind, null as dataset, view as value from image where view is not null group by view
union all
select 'sex', null, sex from image where sex is not null group by sex
union all
select 'column', dataset.name, native_column.name from native_column join dataset on dataset.id = native_column.dataset_id
order by 1, 2, 3
