-- Guards: a vector is as long as the image list that orders it; every image of a list exists.

create or replace function guard_image_list() returns trigger language plpgsql as $$
begin
    if exists (
        select from unnest(new.image_ids) as listed (id) left join image on image.id = listed.id where image.id is null
    ) then
        raise exception 'image list %: holds an image that does not exist', new.content_hash
            using errcode = 'foreign_key_violation';
    end if;
    return new;
end $$;

create or replace trigger guard_image_list before insert on image_list
    for each row execute function guard_image_list();

create or replace function guard_label_length() returns trigger language plpgsql as $$
declare
    expected integer;
begin
    select image_list.length into expected
        from dataset join image_list on image_list.id = dataset.image_list_id where dataset.id = new.dataset_id;
    if cardinality(new.states) <> expected or cardinality(new.term_ids) <> expected then
        raise exception 'label: % states, % terms for the % images of dataset %',
            cardinality(new.states), coalesce(cardinality(new.term_ids)::text, 'no'), expected, new.dataset_id
            using errcode = 'check_violation';
    end if;
    if exists (select from unnest(new.states) as state where state is null or state not between -2 and 1) then
        raise exception 'label: dataset % has a state that is none of 1, 0, -1, -2', new.dataset_id
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger guard_label_length before insert or update on label
    for each row execute function guard_label_length();

create or replace function guard_cohort_label_length() returns trigger language plpgsql as $$
declare
    expected integer;
begin
    select image_list.length into expected
        from cohort join image_list on image_list.id = cohort.image_list_id where cohort.id = new.cohort_id;
    if cardinality(new.labels) <> expected then
        raise exception 'cohort label: % labels for the % images of cohort %', cardinality(new.labels), expected, new.cohort_id
            using errcode = 'check_violation';
    end if;
    if array[new.n_pos, new.n_neg] <> (
        select array[count(*) filter (where v = 1), count(*) filter (where v = 0)]::integer[]
        from unnest(new.labels) as v
    ) or exists (select from unnest(new.labels) as v where v not in (0, 1)) then
        raise exception 'cohort label: counts or values of cohort % are wrong', new.cohort_id using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger guard_cohort_label_length before insert on cohort_label
    for each row execute function guard_cohort_label_length();

-- Once a vector, when its first piece is there: a piece without a first one, which nothing of ours writes, is for `xray db check`.
create or replace function guard_prediction_length() returns trigger language plpgsql as $$
declare
    expected integer;
    given integer;
    in_pieces boolean;
begin
    select image_list.length into expected
        from evaluation join image_list on image_list.id = evaluation.image_list_id where evaluation.id = new.evaluation_id;
    select sum(cardinality(logits)), bool_and(cardinality(logits) = least(piece_length(), expected - piece_length() * piece))
        into given, in_pieces
        from prediction where evaluation_id = new.evaluation_id and task_id = new.task_id;
    if given <> expected or not in_pieces then
        raise exception 'prediction: % logits for the % images of evaluation %: a vector is written at once, in pieces of %',
            given, expected, new.evaluation_id, piece_length() using errcode = 'check_violation';
    end if;
    return null;
end $$;

drop trigger if exists guard_prediction_length on prediction;
create trigger guard_prediction_length after insert on prediction
    for each row when (new.piece = 0) execute function guard_prediction_length();

create or replace function guard_intervention_length() returns trigger language plpgsql as $$
declare
    expected integer;
begin
    select image_list.length into expected
        from intervention_evaluation as made
        join evaluation on evaluation.id = made.evaluation_id
        join image_list on image_list.id = evaluation.image_list_id
        where made.id = new.intervention_id;
    if cardinality(new.logits) <> expected then
        raise exception 'intervention score: % logits for the % images of intervention %', cardinality(new.logits), expected,
            new.intervention_id using errcode = 'check_violation';
    end if;
    return new;
end $$;

create or replace trigger guard_intervention_length before insert on intervention_score
    for each row execute function guard_intervention_length();
