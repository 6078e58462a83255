-- Guard: what a reader said is a state for each image of the reader's dataset.

create or replace function guard_reader_label() returns trigger language plpgsql as $$
declare
    expected integer;
begin
    select image_list.length into expected
        from reader
        join dataset on dataset.id = reader.dataset_id
        join image_list on image_list.id = dataset.image_list_id
        where reader.id = new.reader_id;
    if cardinality(new.states) <> expected then
        raise exception 'reader label: % states for the % images of the dataset of reader %',
            cardinality(new.states), expected, new.reader_id using errcode = 'check_violation';
    end if;
    if exists (select from unnest(new.states) as state where state is null or state not between -2 and 1) then
        raise exception 'reader label: reader % has a state that is none of 1, 0, -1, -2', new.reader_id
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger guard_reader_label before insert or update on reader_label
    for each row execute function guard_reader_label();
