-- Guard: an image that is inserted without who and what it shows is taken for a new picture, of the patient of its name at its
-- site. Registration says both itself, and finds what is one (sql/queries/put_images.sql, merge_pictures.sql). The plan of a look at
-- the patient's other images is made when there are none, and then reading all of them would seem as cheap as the index.

create or replace function guard_identity() returns trigger language plpgsql set enable_seqscan = off as $$
declare
    who text := coalesce('patient ' || new.patient, 'image ' || new.name);
begin
    new.canonical_id := coalesce(new.canonical_id, new.id);
    if new.patient_id is null then
        select patient_id into new.patient_id from image where site_id = new.site_id and patient = new.patient limit 1;
    end if;
    if new.patient_id is null then
        insert into patient (site_id, name, key) values (new.site_id, new.patient, who)
        on conflict (site_id, key) do update set key = excluded.key
        returning id into new.patient_id;
    end if;
    return new;
end $$;

create or replace trigger guard_identity before insert on image
    for each row when (new.canonical_id is null or new.patient_id is null) execute function guard_identity();
