-- Guard: a native column has a cell for each image of its dataset, and each cell is one of its terms.

create or replace function guard_native_column() returns trigger language plpgsql as $$
declare
    expected integer;
begin
    select image_list.length into expected
        from dataset join image_list on image_list.id = dataset.image_list_id where dataset.id = new.dataset_id;
    if cardinality(new.codes) <> expected then
        raise exception 'native column %: % cells for the % images of dataset %',
            new.name, cardinality(new.codes), expected, new.dataset_id using errcode = 'check_violation';
    end if;
    if exists (select from unnest(new.codes) as code where code is null or code not between 1 and cardinality(new.terms)) then
        raise exception 'native column %: a cell of dataset % is none of its terms', new.name, new.dataset_id
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger guard_native_column before insert or update on native_column
    for each row execute function guard_native_column();
