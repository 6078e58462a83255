-- Takes a dataset away with all that hangs on it (xray.data.remove says what). The guards of what is frozen let deletes pass
-- for the rest of the transaction. Parameter: dataset_id.
set local xray.removing = 'on';

create temporary table going_cohort on commit drop as select id, image_list_id from cohort where dataset_id = :dataset_id;
create temporary table going_list on commit drop as
    select image_list_id as id from going_cohort
    union
    select image_list_id from dataset where id = :dataset_id
    union
    select image_list_id from training_cohort where cohort_id in (select id from going_cohort) and image_list_id is not null;
create temporary table going_image on commit drop as
    select distinct unnest(image_ids) as id from image_list where id in (select id from going_list);
create temporary table going_site on commit drop as select site_id as id from dataset where id = :dataset_id;

delete from analysis where study_id in (select study_id from study_dataset where dataset_id = :dataset_id);
delete from partial_result where study_id in (select study_id from study_dataset where dataset_id = :dataset_id);
delete from study_dataset where dataset_id = :dataset_id;
delete from model where id in (
    select model_id from training_cohort where cohort_id in (select id from going_cohort)
    union
    select model_id from classifier where dataset_id = :dataset_id
);
delete from leakage
where train_cohort_id in (select id from going_cohort) or test_cohort_id in (select id from going_cohort);
delete from foreign_leakage
where dataset_id = :dataset_id or test_cohort_id in (select id from going_cohort);
delete from reread_plan
where cohort_id in (select id from going_cohort) or reference_cohort_id in (select id from going_cohort);
delete from recalibration where cohort_id in (select id from going_cohort);
delete from cohort_label_piece where cohort_id in (select id from going_cohort);
delete from cohort_label where cohort_id in (select id from going_cohort);
delete from cohort where dataset_id = :dataset_id;
delete from label where dataset_id = :dataset_id;
delete from reader_label where reader_id in (select id from reader where dataset_id = :dataset_id);
delete from reader where dataset_id = :dataset_id;
delete from dataset_task where dataset_id = :dataset_id;
delete from source_term where dataset_id = :dataset_id;
delete from native_column where dataset_id = :dataset_id;
delete from label_rule where dataset_id = :dataset_id;
delete from quarantine where dataset_id = :dataset_id;
delete from dataset where id = :dataset_id;

delete from going_list where id in (
    select image_list_id from cohort
    union
    select image_list_id from dataset
    union
    select image_list_id from training_cohort where image_list_id is not null
);
delete from intervention_evaluation where target_list_id in (select id from going_list);
delete from evaluation where image_list_id in (select id from going_list);
delete from listed_image where image_list_id in (select id from going_list);
delete from image_list where id in (select id from going_list);
delete from going_image where id in (select unnest(image_ids) from image_list);
delete from planted_truth where image_id in (select id from going_image);

-- People's answers go with their pictures; a worklist that has none left goes too.
create temporary table going_worklist on commit drop as
    select distinct worklist_id as id from worklist_image where image_id in (select id from going_image);
delete from worklist_image where image_id in (select id from going_image);
delete from worklist where id in (select id from going_worklist)
    and not exists (select from worklist_image where worklist_id = worklist.id);

-- What stays of a picture's images has the first of them as its canonical image. A patient stays with any image, and keeps the
-- site and key from which parts are drawn.
update image set canonical_id = first.id
from (
    select canonical_id, min(id) as id from image
    where canonical_id in (select id from going_image) and id not in (select id from going_image)
    group by canonical_id
) as first
where image.canonical_id = first.canonical_id and image.id not in (select id from going_image);
create temporary table going_patient on commit drop as
    select id, site_id from patient where id in (select patient_id from image where id in (select id from going_image));
insert into going_site select site_id from going_patient;
delete from image where id in (select id from going_image);
delete from patient where id in (select id from going_patient)
    and not exists (select from image where image.patient_id = patient.id);
delete from site where id in (select id from going_site) and not exists (select from image where site_id = site.id)
    and not exists (select from dataset where site_id = site.id) and not exists (select from patient where site_id = site.id);

drop table going_cohort, going_list, going_image, going_site, going_worklist, going_patient;
set local xray.removing = 'off'
