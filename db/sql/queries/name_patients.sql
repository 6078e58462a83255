-- Fills in the names of patients whom nobody had named before, by the first image that tells.
update patient set name = told.name
from (
    select distinct on (image.patient_id) image.patient_id, image.patient as name
    from image
    join patient as unnamed on unnamed.id = image.patient_id and unnamed.name is null
    where image.patient is not null
    order by image.patient_id, image.id
) as told
where patient.id = told.patient_id
