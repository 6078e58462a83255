-- One row per pair whose overlap is not stored yet: dataset_id (that a foreign model is said to be trained on), image_list_id
-- (its images), test_cohort_id, test_list_id. Drawn and real images are not compared.
select dataset.id as dataset_id, dataset.image_list_id, test.id as test_cohort_id, test.image_list_id as test_list_id
from dataset
join site on site.id = dataset.site_id
join cohort as test on test.part = 'test'
join dataset as test_dataset on test_dataset.id = test.dataset_id
join site as test_site on test_site.id = test_dataset.site_id and test_site.synthetic = site.synthetic
where
    dataset.name in (select foreign_training.dataset from foreign_training)
    and not exists (
        select from foreign_leakage
        where foreign_leakage.dataset_id = dataset.id and foreign_leakage.test_cohort_id = test.id
    )
order by dataset.id, test.id
