-- One row per (dataset, part, task) of a study's cohorts, and one per (dataset, part) without a task: n images, n_pos.
-- Parameter: study.
with used as (
    select distinct dataset.name as dataset, study_dataset.position, cohort.id, cohort.part, image_list.length
    from study
    join study_dataset on study_dataset.study_id = study.id
    join dataset on dataset.id = study_dataset.dataset_id
    join cohort on cohort.dataset_id = dataset.id
    join image_list on image_list.id = cohort.image_list_id
    join study_model on study_model.study_id = study.id
    join model on model.id = study_model.model_id
        and coalesce(model.protocol_id, study.protocol_id) = cohort.protocol_id
    where study.name = :study
)
select counted.dataset, counted.part, counted.task, counted.n, counted.n_pos
from (
    select used.dataset, used.part, null as task, used.length as n, null as n_pos, used.position, -1 as task_id
    from used
    union all
    select used.dataset, used.part, task.name, cohort_label.n_pos + cohort_label.n_neg, cohort_label.n_pos, used.position, task.id
    from used
    join cohort_label on cohort_label.cohort_id = used.id
    join task on task.id = cohort_label.task_id
) as counted
order by counted.position, array_position(array['train', 'validation', 'test'], counted.part), counted.task_id
