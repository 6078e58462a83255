-- One row per (image list, dataset) that models of a study are scored on, or of which it wants features: dataset, part ("test",
-- or "all" images), image_list_id, synthetic, findings (labelled ones; of all images NULL). Not lists with images that were
-- registered without their files.
-- Parameters: study, its name, for its guests; datasets, names of those of its file; protocol, a name.
with wanted as (
    select dataset.id, dataset.name, dataset.image_list_id, site.synthetic
    from dataset
    join site on site.id = dataset.site_id
    where dataset.name = any(cast(:datasets as text []))
    or exists (
        select from study
        join study_dataset on study_dataset.study_id = study.id and study_dataset.dataset_id = dataset.id
        where study.name = :study and study_dataset.guest
    )
),
listed as (
    select
        wanted.name as dataset,
        'test' as part,
        cohort.image_list_id,
        wanted.synthetic,
        array(
            select task.name from cohort_label
            join task on task.id = cohort_label.task_id
            where cohort_label.cohort_id = cohort.id
        ) as findings
    from wanted
    join cohort on cohort.dataset_id = wanted.id and cohort.part = 'test'
    join protocol on protocol.id = cohort.protocol_id and protocol.name = :protocol
    union all
    select wanted.name, 'all', wanted.image_list_id, wanted.synthetic, null
    from wanted
)
select listed.*
from listed
where (
    select bool_and(image.path is not null)
    from image_list
    cross join unnest(image_list.image_ids) as one (image_id)
    join image on image.id = one.image_id
    where image_list.id = listed.image_list_id
)
