-- Takes away the patients who have no image any more: they were found to be others.
delete from patient
where not exists (select from image where image.patient_id = patient.id)
