-- One row: who and what the images of a list show, aligned with it: pictures (ids of the canonical images), patients (ids),
-- unnamed (1 where nobody tells who the patient is), ranks (of patients by site and name, from 1, the same in every home: the
-- order in which patients are drawn). Parameter: image_list_id. For COPY.
select
    array_agg(canonical_id order by position), array_agg(patient_id order by position),
    array_agg(unnamed order by position), array_agg(rank order by position)
from (
    select
        position, canonical_id, patient_id, unnamed,
        dense_rank() over (order by site, who, patient_id)::integer as rank
    from (
        select
            listed.position, image.canonical_id, image.patient_id, (patient.name is null)::integer as unnamed,
            min(site.name) over (partition by image.patient_id) as site,
            min(coalesce('p' || image.patient, 'i' || image.name)) over (partition by image.patient_id) as who
        from image_list
        cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
        join image on image.id = listed.image_id
        join site on site.id = image.site_id
        join patient on patient.id = image.patient_id
        where image_list.id = %(image_list_id)s
    ) as shown
) as coded
