-- One row per pair of a protocol whose overlap is not stored yet: train_cohort_id (training or validation), test_cohort_id.
-- Drawn and real images are not compared. Parameter: protocol_id.
select train.id as train_cohort_id, test.id as test_cohort_id
from cohort as train
join cohort as test on test.protocol_id = train.protocol_id and test.part = 'test'
join dataset as train_dataset on train_dataset.id = train.dataset_id
join dataset as test_dataset on test_dataset.id = test.dataset_id
join site as train_site on train_site.id = train_dataset.site_id
join site as test_site on test_site.id = test_dataset.site_id and test_site.synthetic = train_site.synthetic
where
    train.part in ('train', 'validation') and train.protocol_id = :protocol_id
    and not exists (
        select from leakage
        where leakage.train_cohort_id = train.id and leakage.test_cohort_id = test.id and leakage.model_id is null
    )
order by train.id, test.id
