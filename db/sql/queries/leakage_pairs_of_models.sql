-- One row per model that was trained or selected on some images of a cohort, and test cohort of the protocol whose overlap with
-- them is not stored yet: model_id, train_cohort_id, whole_list_id, image_list_id (the images used), test_cohort_id.
-- Drawn and real images are not compared. Parameter: protocol_id.
select
    training_cohort.model_id,
    train.id as train_cohort_id,
    train.image_list_id as whole_list_id,
    training_cohort.image_list_id,
    test.id as test_cohort_id
from training_cohort
join cohort as train on train.id = training_cohort.cohort_id
join cohort as test on test.protocol_id = train.protocol_id and test.part = 'test'
join dataset as train_dataset on train_dataset.id = train.dataset_id
join dataset as test_dataset on test_dataset.id = test.dataset_id
join site as train_site on train_site.id = train_dataset.site_id
join site as test_site on test_site.id = test_dataset.site_id and test_site.synthetic = train_site.synthetic
where
    training_cohort.image_list_id is not null and train.protocol_id = :protocol_id
    and not exists (
        select from leakage
        where leakage.train_cohort_id = train.id and leakage.test_cohort_id = test.id
            and leakage.model_id = training_cohort.model_id
    )
order by training_cohort.model_id, train.id, test.id
