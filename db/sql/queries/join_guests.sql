-- One row per dataset that joins a study now: study_id, dataset_id. Adds to study_dataset, as guests, the datasets that a study's
-- models were scored on under a task that both know, and that are not yet of the study. Guests stand behind the datasets of the
-- study file, from position 1000, in the order of registration.
insert into study_dataset (study_id, dataset_id, position, guest)
select scored.study_id, scored.dataset_id,
    greatest(1000, (select max(position) + 1 from study_dataset where study_dataset.study_id = scored.study_id))
        + row_number() over (partition by scored.study_id order by scored.dataset_id) - 1,
    true
from (
    select distinct study_model.study_id, cohort.dataset_id
    from study_model
    join model on model.id = study_model.model_id
    join evaluation on evaluation.model_id = model.id
    join cohort on cohort.image_list_id = evaluation.image_list_id and cohort.part = 'test'
        and cohort.protocol_id = model.protocol_id
    where exists (
        select from cohort_label
        join model_task on model_task.task_id = cohort_label.task_id and model_task.model_id = model.id
        where cohort_label.cohort_id = cohort.id
    )
    and not exists (
        select from study_dataset
        where study_dataset.study_id = study_model.study_id and study_dataset.dataset_id = cohort.dataset_id
    )
) as scored
on conflict do nothing
returning study_id, dataset_id
