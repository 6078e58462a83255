-- One row: what hangs on a dataset: studies (their names), analyses (of them), models (names of those that were trained on
-- it), evaluations (of lists of its images that no other dataset has, by models that were not), calibrations (fitted on its
-- cohorts, of models that were not), worklists (names of those with images that no other dataset has), interventions (on images of
-- others, to look like these). Parameter: dataset_id.
with
own as (select * from cohort where dataset_id = :dataset_id),
trained as (
    select distinct training_cohort.model_id
    from training_cohort join own on own.id = training_cohort.cohort_id
    union
    select model_id from classifier where dataset_id = :dataset_id
),
lists as (
    select image_list_id from own
    union
    select image_list_id from dataset where id = :dataset_id
    except
    select image_list_id from cohort where dataset_id <> :dataset_id
    except
    select image_list_id from dataset where id <> :dataset_id
),
images as (
    select unnest(image_ids) as image_id
    from image_list join dataset on dataset.image_list_id = image_list.id where dataset.id = :dataset_id
    except
    select unnest(image_ids)
    from image_list join dataset on dataset.image_list_id = image_list.id where dataset.id <> :dataset_id
),
named as (
    select study.id, study.name from study join study_dataset on study_dataset.study_id = study.id
    where study_dataset.dataset_id = :dataset_id
)
select
    coalesce((select array_agg(name order by name) from named), '{}') as studies,
    (select count(distinct (study_id, name)) from analysis where study_id in (select id from named)) as analyses,
    coalesce(
        (select array_agg(name order by name) from model where id in (select model_id from trained)), '{}'
    ) as models,
    (
        select count(*) from evaluation
        where image_list_id in (select image_list_id from lists) and model_id not in (select model_id from trained)
    ) as evaluations,
    (
        select count(*) from recalibration
        where cohort_id in (select id from own) and model_id not in (select model_id from trained)
    ) as calibrations,
    coalesce(
        (
            select array_agg(name order by name) from worklist
            where id in (select worklist_id from worklist_image join images on images.image_id = worklist_image.image_id)
        ),
        '{}'
    ) as worklists,
    (
        select count(*) from intervention_evaluation
        where target_list_id in (select image_list_id from lists)
    ) as interventions
