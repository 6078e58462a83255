-- missing_evaluations: one row per (model, image list) that is not scored though it should be: the list is that of a test
-- cohort that shares a task with the model, both drawn or both real, under the model's protocol. A foreign model whose file is
-- here has no protocol: test cohorts of every one; it is real unless it is said to be trained on a drawn dataset; and the test
-- cohorts of a study that names it, drawn or real. Of a foreign model without a file nothing is missing, nor of a list with
-- images that were registered without their files.
-- Columns: model_id, model, image_list_id, n_images, test_datasets.
create or replace view missing_evaluations as
with model_kind as (
    select training_cohort.model_id, bool_or(site.synthetic) as synthetic
    from training_cohort
    join cohort on cohort.id = training_cohort.cohort_id
    join dataset on dataset.id = cohort.dataset_id
    join site on site.id = dataset.site_id
    group by training_cohort.model_id
    union all
    select model.id, coalesce(bool_or(site.synthetic), false)
    from model
    left join foreign_training on foreign_training.model_id = model.id
    left join dataset on dataset.name = foreign_training.dataset
    left join site on site.id = dataset.site_id
    where model.kind = 'foreign' and model.mlflow_model is not null
    group by model.id
),
-- apart, so that only these lists' images are asked for their files, and once
unscored as materialized (
    select
        model.id as model_id,
        model.name as model,
        image_list.id as image_list_id,
        image_list.length as n_images,
        array_agg(distinct dataset.name) as test_datasets
    from model
    join model_kind on model_kind.model_id = model.id
    join cohort on cohort.part = 'test' and cohort.protocol_id = coalesce(model.protocol_id, cohort.protocol_id)
    join dataset on dataset.id = cohort.dataset_id
    join site on site.id = dataset.site_id
    join image_list on image_list.id = cohort.image_list_id
    where (
        site.synthetic = model_kind.synthetic
        or model.kind = 'foreign' and exists (
            select from study
            join study_model on study_model.study_id = study.id and study_model.model_id = model.id
            join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
            where study.protocol_id = cohort.protocol_id
        )
    )
    and exists (
        select from cohort_label
        join model_task on model_task.task_id = cohort_label.task_id and model_task.model_id = model.id
        where cohort_label.cohort_id = cohort.id
    )
    and not exists (
        select from evaluation where evaluation.model_id = model.id and evaluation.image_list_id = image_list.id
    )
    group by model.id, image_list.id
),
with_files as materialized (
    select wanted.image_list_id
    from (select distinct image_list_id from unscored) as wanted
    where (
        select bool_and(image.path is not null)
        from image_list
        cross join unnest(image_list.image_ids) as listed (image_id)
        join image on image.id = listed.image_id
        where image_list.id = wanted.image_list_id
    )
)
select unscored.*
from unscored
join with_files on with_files.image_list_id = unscored.image_list_id;
