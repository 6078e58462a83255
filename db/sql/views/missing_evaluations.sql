-- missing_evaluations: one row per (model, image list) that is not scored though it should be: the list is that of a test
-- cohort under the model's protocol, which shares a task with the model, both drawn or both real.
-- Columns: model_id, model, image_list_id, n_images, test_datasets.
create or replace view missing_evaluations as
with model_kind as (
    select training_cohort.model_id, bool_or(site.synthetic) as synthetic
    from training_cohort
    join cohort on cohort.id = training_cohort.cohort_id
    join dataset on dataset.id = cohort.dataset_id
    join site on site.id = dataset.site_id
    group by training_cohort.model_id
)
select
    model.id as model_id,
    model.name as model,
    image_list.id as image_list_id,
    image_list.length as n_images,
    array_agg(distinct dataset.name) as test_datasets
from model
join model_kind on model_kind.model_id = model.id
join cohort on cohort.part = 'test' and cohort.protocol_id = model.protocol_id
join dataset on dataset.id = cohort.dataset_id
join site on site.id = dataset.site_id and site.synthetic = model_kind.synthetic
join image_list on image_list.id = cohort.image_list_id
where exists (
    select from cohort_label
    join model_task on model_task.task_id = cohort_label.task_id and model_task.model_id = model.id
    where cohort_label.cohort_id = cohort.id
)
and not exists (
    select from evaluation where evaluation.model_id = model.id and evaluation.image_list_id = image_list.id
)
group by model.id, image_list.id;
