-- auc(logits, labels): area under the ROC curve, exact with ties (Mann-Whitney: how often a positive is above a negative, ties
-- half), NULL where a class is absent. Pairs with a NULL or NaN are left out. The positives are sorted, and each negative is
-- looked up among them; -logit in the reverse order gives those that are at least as high.
--   select trained_on, auc(array_agg(logit), array_agg(label)) from predictions where task = 'Effusion' group by trained_on;
create or replace function auc(logits real[], labels smallint[]) returns double precision
language sql immutable parallel safe cost 10000 as $$
    with scored as materialized (
        select logit::double precision as logit, label from unnest(logits, labels) as pair (logit, label)
        where logit is not null and logit <> 'NaN' and label is not null
    ),
    positives as (
        select array_agg(logit order by logit) as rising, array_agg(-logit order by logit desc) as falling, count(*) as n
        from scored where label = 1
    ),
    counted as (
        select positives.n::numeric as n_pos, count(*)::numeric as n_neg,
            sum(positives.n - width_bucket(logit, rising) + width_bucket(-logit, falling)) as twice_above
        from scored cross join positives
        where label = 0
        group by positives.n
    )
    select (twice_above / nullif(2 * n_pos * n_neg, 0))::double precision from counted
$$;
