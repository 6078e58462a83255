-- kappa(a, b): Cohen's kappa of two raters' calls on the same images, NULL where it is undefined (no image, or both raters
-- constant and equal). Pairs with a NULL are left out.
--   select kappa(array_agg(a.logit > 0 order by a.image), array_agg(b.logit > 0 order by b.image)) from … join … using (image);
create or replace function kappa(a boolean[], b boolean[]) returns double precision
language sql immutable parallel safe as $$
    with counted as (
        select count(*)::double precision as n, count(*) filter (where x = y) as same,
            count(*) filter (where x)::double precision as x_pos, count(*) filter (where y)::double precision as y_pos
        from unnest(a, b) as pair (x, y) where x is not null and y is not null
    ),
    expected as (
        select n, same, (x_pos * y_pos + (n - x_pos) * (n - y_pos)) / nullif(n * n, 0) as by_chance from counted
    )
    select (same / nullif(n, 0) - by_chance) / nullif(1 - by_chance, 0) from expected
$$;
