-- duplicates: rows that stand twice for one thing, which a constraint should have refused.
-- Columns: table_name, key, rows.
-- Then: restore a backup from before, or delete one of them where they are equal; then see that the constraint is there.
select 'evaluation' as table_name, jsonb_build_object('model_id', model_id, 'image_list_id', image_list_id) as key,
    count(*) as rows
from evaluation group by model_id, image_list_id having count(*) > 1
union all
select 'image', jsonb_build_object('site_id', site_id, 'name', name), count(*)
from image group by site_id, name having count(*) > 1
union all
select 'image_list', jsonb_build_object('content_hash', content_hash), count(*)
from image_list group by content_hash having count(*) > 1
union all
select 'dataset', jsonb_build_object('name', name), count(*) from dataset group by name having count(*) > 1
union all
select 'label', jsonb_build_object('dataset_id', dataset_id, 'task_id', task_id), count(*)
from label group by dataset_id, task_id having count(*) > 1
union all
select 'cohort', jsonb_build_object('dataset_id', dataset_id, 'protocol_id', protocol_id, 'part', part), count(*)
from cohort group by dataset_id, protocol_id, part having count(*) > 1
union all
select 'cohort_label', jsonb_build_object('cohort_id', cohort_id, 'task_id', task_id), count(*)
from cohort_label group by cohort_id, task_id having count(*) > 1
union all
select 'model', jsonb_build_object('key', key), count(*) from model group by key having count(*) > 1
union all
select 'model', jsonb_build_object('name', name), count(*) from model group by name having count(*) > 1
union all
select 'analysis', jsonb_build_object('study_id', study_id, 'name', name, 'cell', cell), count(*)
from analysis group by study_id, name, cell having count(*) > 1
union all
select 'study', jsonb_build_object('name', name), count(*) from study group by name having count(*) > 1
