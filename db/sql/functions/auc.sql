-- auc(logits, labels): area under the ROC curve, exact with ties (Mann-Whitney with midranks), NULL where a class is absent.
-- Pairs with a NULL or NaN are left out. For ad-hoc questions; bulk work streams vectors to xray.stats.
--   select trained_on, auc(array_agg(logit), array_agg(label)) from predictions where task = 'Effusion' group by trained_on;
create or replace function auc(logits real[], labels smallint[]) returns double precision
language sql immutable parallel safe as $$
    with scored as (
        select logit, label from unnest(logits, labels) as pair (logit, label)
        where logit is not null and logit <> 'NaN' and label is not null
    ),
    ranked as (
        select label, rank() over (order by logit) + (count(*) over (partition by logit) - 1) / 2.0 as midrank from scored
    ),
    counted as (
        select count(*) filter (where label = 1)::numeric as n_pos, count(*) filter (where label = 0)::numeric as n_neg,
            sum(midrank) filter (where label = 1) as rank_sum
        from ranked
    )
    select ((rank_sum - n_pos * (n_pos + 1) / 2) / nullif(n_pos * n_neg, 0))::double precision from counted
$$;
