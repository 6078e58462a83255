-- labeller_agreement(first, second): do two labellers call the same images positive? One row per task that both speak of,
-- counted over the pictures that both datasets have, whatever they call them (image.canonical_id), and both called positive or negative:
-- uncertain and not mentioned are left out. Nothing is said where the datasets share no image.
-- Columns: task, n, both_positive, first_only, second_only, both_negative, kappa.
--   select * from labeller_agreement('google', 'nih');
create or replace function labeller_agreement(first_dataset text, second_dataset text)
returns table (
    task text, n integer, both_positive integer, first_only integer, second_only integer, both_negative integer,
    kappa double precision
)
language sql stable parallel safe as $$
    with shared as (
        select label.task_id
        from label join dataset on dataset.id = label.dataset_id and dataset.name in (first_dataset, second_dataset)
        group by label.task_id
        having count(distinct dataset.id) = 2
    ),
    called as (     -- one row per image and task; no join of vectors with vectors, whose lengths the planner can't know
        select label.task_id,
            min(listed.state) filter (where dataset.name = first_dataset) as one,
            max(listed.state) filter (where dataset.name = first_dataset) as one_at_most,
            min(listed.state) filter (where dataset.name = second_dataset) as two,
            max(listed.state) filter (where dataset.name = second_dataset) as two_at_most
        from dataset
        join image_list on image_list.id = dataset.image_list_id
        join label on label.dataset_id = dataset.id and label.task_id in (select task_id from shared)
        cross join lateral unnest(image_list.image_ids, label.states) as listed (image_id, state)
        join image on image.id = listed.image_id
        where dataset.name in (first_dataset, second_dataset) and listed.state in (0, 1)
        group by label.task_id, image.canonical_id
    ),
    counted as (
        select task_id, count(*)::integer as n,
            count(*) filter (where one = 1 and two = 1)::integer as a,
            count(*) filter (where one = 1 and two = 0)::integer as b,
            count(*) filter (where one = 0 and two = 1)::integer as c,
            count(*) filter (where one = 0 and two = 0)::integer as d
        from called
        where one = one_at_most and two = two_at_most
        group by task_id
    )
    select task.name, counted.n, a, b, c, d,
        2 * (a::double precision * d - b::double precision * c)
            / nullif((a + b)::double precision * (b + d) + (a + c)::double precision * (c + d), 0)
    from counted
    join task on task.id = counted.task_id
    order by task.id
$$;
