-- patients_in_two_parts: patients who stand in two parts (training, validation, test) of a protocol that splits by
-- patient. Protocols that cut rows at random, as the paper's code did, promise no such thing: see xray audit leakage.
-- Columns: site, patient, protocol, parts (dataset/part).
-- Then: don't report results of these cohorts; register the datasets anew, or restore a backup from before.
with listed as materialized (
    select distinct cohort.protocol_id, cohort.dataset_id, cohort.part, image.patient_id
    from cohort
    join protocol on protocol.id = cohort.protocol_id and protocol.definition #>> '{split,method}' = 'patient'
    join image_list on image_list.id = cohort.image_list_id
    cross join lateral unnest(image_list.image_ids) as in_list (id)
    join image on image.id = in_list.id
)
select site.name as site, coalesce('patient ' || patient.name, patient.key) as patient,
    protocol.name || ' ' || protocol.version as protocol,
    array_agg(dataset.name || '/' || listed.part order by dataset.name, listed.part) as parts
from listed
join patient on patient.id = listed.patient_id
join site on site.id = patient.site_id
join protocol on protocol.id = listed.protocol_id
join dataset on dataset.id = listed.dataset_id
group by patient.id, site.name, protocol.name, protocol.version
having count(distinct listed.part) > 1
