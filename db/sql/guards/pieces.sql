-- Not guards but their company: what the view `predictions` looks places up in is written with what it is made from, once and by
-- the database. `listed_image` for a list when it is first scored, `cohort_label_piece` with the labels of a cohort.

create or replace function guard_listed_images() returns trigger language plpgsql as $$
begin
    if not exists (select from listed_image where image_list_id = new.image_list_id) then
        insert into listed_image (image_list_id, piece, place, image_id)
        select id, (position - 1) / piece_length(), (position - 1) % piece_length() + 1, image_id
        from image_list
        cross join lateral unnest(image_ids) with ordinality as listed (image_id, position)
        where id = new.image_list_id
        order by position
        on conflict do nothing;
    end if;
    return null;
end $$;

create or replace trigger guard_listed_images after insert on evaluation
    for each row execute function guard_listed_images();

-- Statistics for the planner, which autovacuum never makes of tables of less than fifty rows: without them it expects a row where
-- there are thousands, and joins row by row for minutes. As the owner, for only an owner may; nothing but these names is run.
create or replace function guard_listed_statistics() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    name text;
begin
    foreach name in array array['cohort', 'dataset', 'evaluation', 'listed_image', 'model', 'protocol', 'task'] loop
        execute format('analyze %I.%I', tg_table_schema, name);
    end loop;
    return null;
end $$;

create or replace trigger guard_listed_statistics after insert on listed_image
    for each statement execute function guard_listed_statistics();

create or replace function guard_label_pieces() returns trigger language plpgsql as $$
begin
    insert into cohort_label_piece (cohort_id, task_id, piece, labels)
    select new.cohort_id, new.task_id, piece,
        array_replace(new.labels[piece * piece_length() + 1 : (piece + 1) * piece_length()], null, -1::smallint)
    from generate_series(0, (cardinality(new.labels) - 1) / piece_length()) as piece;
    return null;
end $$;

create or replace trigger guard_label_pieces after insert on cohort_label
    for each row execute function guard_label_pieces();
