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
        perform analyze_scored();
    end if;
    return null;
end $$;

-- analyze_scored(): statistics for the planner, which autovacuum never makes of tables of less than fifty rows. Without them it
-- expects a row where there are thousands, and joins row by row for minutes. Where this role may not, nothing is done.
create or replace function analyze_scored() returns void language plpgsql as $$
declare
    name text;
    allowed boolean;
begin
    foreach name in array array['cohort', 'dataset', 'evaluation', 'listed_image', 'model', 'protocol', 'task'] loop
        if current_setting('server_version_num')::integer >= 170000 then
            allowed = has_table_privilege(name, 'maintain');
        else
            select pg_has_role(relowner, 'usage') into allowed from pg_class where oid = name::regclass;
        end if;
        if allowed then
            execute format('analyze %I', name);
        end if;
    end loop;
end $$;

create or replace trigger guard_listed_images after insert on evaluation
    for each row execute function guard_listed_images();

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
